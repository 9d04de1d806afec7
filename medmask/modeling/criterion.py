"""The supervised loss of the detector (Deformable DETR, Zhu et al., 2021).

Every decoder layer is matched on its own and has a focal loss on its class logits, and L1 and
generalized-IoU losses on its matched boxes; these auxiliary losses of the layers are averaged. Sums
are divided by the number of objects in the batch over all processes, so that the gradient does not
depend on how a batch is spread over GPUs. A batch without any object has a class loss and zero box
losses.
"""

from collections.abc import Sequence

import torch
from detectron2.utils import comm
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.modeling.boxes import DetectionTarget, generalized_box_iou
from medmask.modeling.decoder import DecoderOutput
from medmask.modeling.matcher import Matcher, Matches
from medmask.modeling.proposals import REJECTED_LOGIT, ProposalOutput


class DetectionCriterion(nn.Module):
    """Weighted losses of decoder layers and proposals."""

    def __init__(
        self,
        *,
        matcher: Matcher,
        proposal_matcher: Matcher | None = None,
        class_weight: float = 2.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
    ):
        """Create the criterion.

        Args:
            matcher: pairs decoder predictions with objects.
            proposal_matcher: pairs encoder proposals with objects; ``matcher`` if None.
            class_weight: weight of the focal loss.
            box_weight: weight of the L1 loss.
            giou_weight: weight of the generalized-IoU loss.
            focal_alpha: weight of the positive class in the focal loss, in [0, 1].
            focal_gamma: exponent of the focal loss: 0, or at least 1.

        Raises:
            InputError: ``focal_gamma`` is between 0 and 1.
        """
        super().__init__()
        if 0 < focal_gamma < 1:
            raise InputError(
                f"model.criterion.focal_gamma is {focal_gamma}, but between 0 and 1 the focal loss "
                "has no finite gradient where the detector is sure: set 0, or at least 1"
            )
        self.matcher = matcher
        self.proposal_matcher = proposal_matcher or matcher
        self.weights = {
            "loss_class": class_weight,
            "loss_box": box_weight,
            "loss_giou": giou_weight,
        }
        self.focal_alpha = focal_alpha
        self.focal_gamma = focal_gamma

    def forward(
        self,
        output: DecoderOutput,
        targets: Sequence[DetectionTarget],
        proposals: ProposalOutput | None = None,
        classes_only: bool = False,
    ) -> tuple[dict[str, Tensor], Matches]:
        """Match predictions with objects and compute the weighted losses.

        Args:
            output: predictions of every decoder layer.
            targets: one per image.
            proposals: of the two-stage detector.
            classes_only: leave out the losses on boxes; boxes still decide what matches.

        Returns:
            ``loss_class``, ``loss_box``, ``loss_giou``, each a scalar, and the same with the suffix
            ``_proposals`` if there are proposals, to be summed and minimized; and the matches of
            the last decoder layer.
        """
        num_objects = self._num_objects(targets, output.logits.device)
        num_layers = len(output.logits)
        # The layers of one image are independent problems: treat them as one larger batch.
        losses, matches = self._losses(
            output.logits.flatten(0, 1),
            output.boxes.flatten(0, 1),
            list(targets) * num_layers,
            self.matcher,
            normalizer=num_objects * num_layers * self.matcher.matches_per_target,
            classes_only=classes_only,
        )
        if proposals is not None:
            objects = [DetectionTarget(torch.zeros_like(t.labels), t.boxes) for t in targets]
            proposal_losses, _ = self._losses(
                proposals.logits,
                proposals.boxes,
                objects,
                self.proposal_matcher,
                normalizer=num_objects * self.proposal_matcher.matches_per_target,
                classes_only=classes_only,
                anchors=proposals.anchors,
                candidates=proposals.accepted,
            )
            losses |= {f"{name}_proposals": loss for name, loss in proposal_losses.items()}
        return losses, _of_last_layer(matches, num_layers, len(targets))

    def _losses(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Sequence[DetectionTarget],
        matcher: Matcher,
        normalizer: Tensor,
        classes_only: bool,
        **options: Tensor,
    ) -> tuple[dict[str, Tensor], Matches]:
        matches = matcher(logits, boxes, targets, **options)
        losses = self._losses_of_matches(logits, boxes, targets, matches, normalizer, classes_only)
        return losses, matches

    def matched_losses(
        self,
        output: DecoderOutput,
        targets: Sequence[DetectionTarget],
        matches: Matches,
        matches_per_target: int,
        exists: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the weighted losses of queries whose objects are known.

        Args:
            output: predictions of every decoder layer.
            targets: one per image.
            matches: of queries and objects, the same for every layer; all other queries are
                background.
            matches_per_target: queries that each object has.
            exists: (N, Q) bool, False for queries that do not count.

        Returns:
            ``loss_class``, ``loss_box``, ``loss_giou``, as :meth:`forward` gives them.
        """
        num_layers, batch_size = output.logits.shape[:2]
        offsets = torch.arange(num_layers, device=matches.image.device)[:, None] * batch_size
        of_all_layers = Matches(
            (matches.image + offsets).flatten(),
            matches.prediction.repeat(num_layers),
            matches.target.repeat(num_layers),
        )
        normalizer = self._num_objects(targets, output.logits.device)
        logits = output.logits.masked_fill(~exists[None, ..., None], REJECTED_LOGIT)
        return self._losses_of_matches(
            logits.flatten(0, 1),
            output.boxes.flatten(0, 1),
            list(targets) * num_layers,
            of_all_layers,
            normalizer * num_layers * matches_per_target,
        )

    def _losses_of_matches(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Sequence[DetectionTarget],
        matches: Matches,
        normalizer: Tensor,
        classes_only: bool = False,
    ) -> dict[str, Tensor]:
        first = torch.tensor([0, *(len(t.labels) for t in targets[:-1])]).cumsum(0)
        index = first.to(matches.image.device)[matches.image] + matches.target
        labels = torch.cat([t.labels for t in targets])[index]

        target_classes = torch.zeros_like(logits, dtype=torch.float32)
        target_classes[matches.image, matches.prediction, labels] = 1
        sums = {
            "loss_class": sigmoid_focal_loss(
                logits.float(), target_classes, self.focal_alpha, self.focal_gamma, reduction="sum"
            )
        }
        if not classes_only:
            matched = boxes[matches.image, matches.prediction]
            target_boxes = torch.cat([t.boxes for t in targets])[index]
            sums["loss_box"] = F.l1_loss(matched, target_boxes, reduction="sum")
            sums["loss_giou"] = (1 - generalized_box_iou(matched, target_boxes)).sum()
        return {name: self.weights[name] * loss / normalizer for name, loss in sums.items()}

    @staticmethod
    def _num_objects(targets: Sequence[DetectionTarget], device: torch.device) -> Tensor:
        """Count the objects of all processes, at least 1, and divide by the number of processes.

        Data-parallel training averages the gradients of the processes; this makes the average what
        one process would compute on all images, also where some process has no object.
        """
        count = torch.tensor([sum(len(t.labels) for t in targets)], dtype=torch.float32)
        count = count.to(device)
        if comm.get_world_size() > 1:
            distributed.all_reduce(count)
        return count.clamp(min=1)[0] / comm.get_world_size()


def _of_last_layer(matches: Matches, num_layers: int, batch_size: int) -> Matches:
    """Select the last layer's of the matches of all layers, one batch after another."""
    first = (num_layers - 1) * batch_size
    last = matches.image >= first
    return Matches(matches.image[last] - first, matches.prediction[last], matches.target[last])
