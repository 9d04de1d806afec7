"""Adaptation without target labels: a teacher labels unlabelled images for its student.

The student is the model that is trained; the teacher is the moving average of its weights (mean
teacher, Tarvainen and Valpola, 2017). The teacher sees a weak view of each image and the student a
strong view of the same geometry (unbiased teacher, Liu et al., 2021).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import Tensor, distributed, nn
from torchvision.ops import box_convert

from medmask.data.loaders import TrainLoader
from medmask.engine.confidence_threshold import ConfidenceThreshold
from medmask.engine.loss_hook import LossHook
from medmask.engine.moving_average import make_average, update_average
from medmask.engine.pseudo_label_quality import NUM_COUNTS, PseudoLabelQuality, count_hits
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask
from medmask.modeling.pseudo_labels import PseudoLabels, select_pseudo_labels

TEACHER = "teacher"


class TeacherHook(LossHook):
    """Adds, in every step, a supervised pass on unlabelled images with the teacher's labels.

    The teacher starts as a copy of the student, whole, so that its weights load wherever the
    student's do; what only training uses is averaged with the rest and idle. BatchNorm statistics
    are averaged like weights: the student's, which follow its source batches and its strong target
    batches in turn, so the teacher normalises weak target images by statistics of the mixture.

    Logged, besides the losses ``..._target``: thresholds and pseudo boxes per image and, where the
    loader gives ``instances`` (true labels, used for nothing else), precision and recall.
    """

    def __init__(
        self,
        *,
        loader: TrainLoader,
        threshold: ConfidenceThreshold,
        ema_decay: float = 0.9996,
        loss_weight: float = 1.0,
    ) -> None:
        """Create the hook.

        Args:
            loader: of samples as :class:`medmask.data.PairedViewMapper` gives them.
            threshold: above which score a box of the teacher becomes a label.
            ema_decay: share of the teacher that stays in each iteration, in [0, 1).
            loss_weight: of the supervised losses on pseudo labels; losses that other hooks add to
                the pass have weights of their own.

        Raises:
            InputError: a number makes no sense.
        """
        super().__init__(loader)
        if not 0 <= ema_decay < 1:
            raise InputError(f"TeacherHook: ema_decay is {ema_decay}, but must lie in [0, 1)")
        if loss_weight < 0:
            raise InputError(f"TeacherHook: loss_weight is {loss_weight}, but must not be negative")
        self.threshold = threshold
        self.ema_decay = ema_decay
        self.loss_weight = loss_weight
        self.quality = PseudoLabelQuality()

    def build(self, detector: MedMask) -> None:
        num_classes = detector.transformer.num_classes
        if self.threshold.num_classes != num_classes:
            raise InputError(
                f"TeacherHook: threshold.num_classes is {self.threshold.num_classes}, but the "
                f"model has {num_classes} classes (model.transformer.num_classes)"
            )
        self.teacher = make_average(detector)

    def before_train(self) -> None:
        super().before_train()
        if self.trainer.start_iter == 0:
            # The student got its weights after build().
            self.teacher.load_state_dict(self.trainer.detector.state_dict())

    def step_losses(self) -> dict[str, Tensor]:
        batch = self.next_batch()
        thresholds = self.threshold.at(self.trainer.iter / self.trainer.max_iter)
        labels = self._label(batch, thresholds)
        student_batch = [
            {**sample, "image": _strong_view(sample), "instances": instances}
            for sample, instances in zip(batch, labels, strict=True)
        ]
        self._observe(batch, labels, thresholds)
        return self.trainer.detection_losses(student_batch, Domain.TARGET, self.loss_weight)

    @torch.no_grad()
    def _label(self, batch: list[dict[str, Any]], thresholds: Tensor) -> list[Instances]:
        """The teacher's labels: per image ``gt_boxes``, ``gt_classes`` and ``scores``."""
        images = self.teacher.preprocess_image(batch)
        output = self.teacher.detect(images).decoder
        labels = select_pseudo_labels(output.logits[-1], output.boxes[-1], thresholds)
        return [
            _to_instances(image, size)
            for image, size in zip(labels, images.image_sizes, strict=True)
        ]

    def _observe(
        self, batch: list[dict[str, Any]], labels: Sequence[Instances], thresholds: Tensor
    ) -> None:
        """Tell the threshold and the log about the labels of all processes."""
        num_classes = len(thresholds)
        counts, score_sums = torch.zeros(2, num_classes, dtype=torch.float64)
        hits = torch.zeros(NUM_COUNTS, dtype=torch.float64)
        for sample, instances in zip(batch, labels, strict=True):
            classes = instances.gt_classes.cpu()
            counts += classes.bincount(minlength=num_classes)
            score_sums.index_add_(0, classes, instances.scores.cpu().double())
            if "instances" in sample:
                hits += count_hits(instances, sample["instances"].to(instances.scores.device))
        num_images = torch.tensor([len(batch)], dtype=torch.float64)
        everything = torch.cat((counts, score_sums, hits, num_images))
        everything = _sum_over_processes(everything, self.teacher.device)
        counts, score_sums, hits, num_images = everything.split(
            (num_classes, num_classes, NUM_COUNTS, 1)
        )
        self.threshold.observe(score_sums, counts)
        self.quality.add(hits)
        values = {"boxes_per_image": (counts.sum() / num_images).item()}
        values |= {f"threshold_{k}": value for k, value in enumerate(thresholds.tolist())}
        values |= self.quality.metrics()
        self.trainer.storage.put_scalars(**{f"pseudo_labels/{k}": v for k, v in values.items()})

    def after_step(self) -> None:
        update_average(self.teacher, self.trainer.detector, self.ema_decay)

    def extra_models(self) -> Mapping[str, nn.Module]:
        return {TEACHER: self.teacher}

    def state_dict(self) -> dict[str, Any]:
        return {
            TEACHER: self.teacher.state_dict(),
            "threshold": self.threshold.state_dict(),
            "quality": self.quality.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.teacher.load_state_dict(state_dict[TEACHER])
        self.threshold.load_state_dict(state_dict["threshold"])
        self.quality.load_state_dict(state_dict["quality"])


def _strong_view(sample: dict[str, Any]) -> Tensor:
    if "strong_image" not in sample:
        raise InputError(
            "TeacherHook: the samples of its loader have no strong_image; set the hook's "
            "loader.mapper to medmask.data.PairedViewMapper"
        )
    return sample["strong_image"]


def _to_instances(labels: PseudoLabels, image_size: tuple[int, int]) -> Instances:
    """From [0, 1] to pixels, clipped to the image, as a mapper's boxes are."""
    height, width = image_size
    corners = box_convert(labels.boxes, "cxcywh", "xyxy")
    boxes = Boxes(corners * corners.new_tensor([width, height, width, height]))
    boxes.clip(image_size)
    return Instances(image_size, gt_boxes=boxes, gt_classes=labels.labels, scores=labels.scores)


def _sum_over_processes(x: Tensor, device: torch.device) -> Tensor:
    """(n,) on the CPU -> (n,) on the CPU; processes talk through ``device``."""
    if comm.get_world_size() == 1:
        return x
    x = x.to(device)
    distributed.all_reduce(x)
    return x.cpu()
