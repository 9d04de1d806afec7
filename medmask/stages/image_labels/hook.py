"""Training by labels of whole images, which need no boxes (weak labels).

Screening sets (RSNA, CMMD) tell whether a mammogram shows cancer, but not where, and so do the
reports of a hospital. The detector's own class logits are pooled over its queries to one logit for
the image, and that one is held to the label: no head is added, so what is learned is what detects.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from medmask.data.loaders import TrainLoader
from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.stages.exclusive_options import MIXUP_AND_IMAGE_LABELS
from medmask.stages.image_labels.pooling import BagPooling
from medmask.stages.image_labels.separation import image_label_auc
from medmask.stages.learning import LearningMeasure, Sample, observing
from medmask.stages.loss_hook import LossHook

logger = logging.getLogger(__name__)


class ImageLabelHook(LossHook):
    """Adds ``loss_image_label``: cross-entropy between pooled scores and the image's label.

    With z the pooled logit of an image (see :class:`BagPooling`), of the last decoder layer, and y
    its label, the loss is the mean of -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z)) over the
    images of a batch. Records without a label count as zero; how many there are is logged once.
    """

    loader: TrainLoader

    def __init__(
        self,
        *,
        loader: TrainLoader,
        pooling: BagPooling,
        weight: float = 1.0,
        class_id: int = 0,
        field: str = "malignant",
        negatives: bool = True,
    ) -> None:
        """Create the hook.

        Args:
            loader: of images whose records have the field.
            pooling: from the logits of the queries to that of the image.
            weight: factor of the loss.
            class_id: the detector's class that the label is about.
            field: of an image's record that holds its label, true or false: whether it shows what
                the class is about. ``medmask convert`` writes ``malignant`` and ``lesion``.
            negatives: whether images whose label is false count. A detector of any lesion has to
                leave out those that are not malignant, for they may show benign ones.

        Raises:
            InputError: a number makes no sense.
        """
        super().__init__(loader)
        if weight < 0:
            raise InputError(f"ImageLabelHook: weight is {weight}, but must not be negative")
        self.pooling = pooling
        self.weight = weight
        self.class_id = class_id
        self.field = field
        self.negatives = negatives

    def build(self, detector: MedMask) -> None:
        num_classes = detector.transformer.num_classes
        if not 0 <= self.class_id < num_classes:
            raise InputError(
                f"loss_hooks.image_labels.class_id is {self.class_id}, but the detector's classes "
                f"are 0 to {num_classes - 1}"
            )

    def before_train(self) -> None:
        """Count the labels.

        Raises:
            InputError: no label is true, one is faulty, or the loader mixes images.
        """
        stream = self.loader.stream
        if getattr(stream, "mix", None) is not None:
            raise InputError(MIXUP_AND_IMAGE_LABELS.sentence("loss_hooks.image_labels"))
        labels = [read_label(record, self.field) for record in stream.dataset_dicts]
        counts = {label: labels.count(label) for label in (True, False, None)}
        if not counts[True]:
            raise InputError(
                f"loss_hooks.image_labels.loader: no image of its dataset has {self.field}=true in "
                "its record, so there is nothing to learn; name a set with labels of images"
            )
        logger.info(
            "Labels of images: %d %s, %d not%s, %d without a label (not used)",
            counts[True],
            self.field,
            counts[False],
            "" if self.negatives else " (not used)",
            counts[None],
        )
        if self.negatives and not counts[False]:
            logger.warning(
                "No image of loss_hooks.image_labels.loader has %s=false in its record, so that "
                "nothing teaches low scores: add images that do not show it",
                self.field,
            )
        super().before_train()

    def step_losses(self) -> dict[str, Tensor]:
        batch = self.next_batch()
        logits = self.trainer.model(batch, step=_class_logits)[..., self.class_id]  # (N, Q)
        loss = image_label_loss(self.pooling(logits.float()), self._targets(batch))
        return {"loss_image_label": self.weight * loss}

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure how well the pooled scores tell the labels, see :func:`image_label_auc`.

        Images whose label is false count here even where they do not in training.
        """
        detector = self.trainer.detector
        scores, labels = [], []
        with observing(detector):
            for sample in samples:
                label = read_label(sample, self.field)
                if label is None:
                    continue
                logits = _class_logits(detector, [sample])[..., self.class_id]
                scores.append(self.pooling(logits.float()).item())
                labels.append(label)
        measure = image_label_auc(scores, labels)
        if measure is None:
            logger.info(
                "Labels of images are not measured: the held-out images do not have both kinds."
            )
            return {}
        return {"image_labels/auc": measure}

    def _targets(self, batch: Sequence[dict[str, Any]]) -> list[bool | None]:
        labels = [read_label(sample, self.field) for sample in batch]
        return [label if label or self.negatives else None for label in labels]


def read_label(record: dict[str, Any], field: str) -> bool | None:
    """Read the label of an image from a field of its record; None if the record has none.

    Raises:
        InputError: it is neither true nor false.
    """
    label = record.get(field)
    if label is None or isinstance(label, bool):
        return label
    if label in (0, 1):
        return bool(label)
    raise InputError(
        f"{record['file_name']}: {field} is {label!r} in its record, but must be true or false"
    )


def image_label_loss(logits: Tensor, labels: Sequence[bool | None]) -> Tensor:
    """Cross-entropy of images, divided by the number of all images, labeled or not.

    That number is the same in all processes, so their mean is the loss of the whole batch.

    Args:
        logits: (N,).
        labels: of the N images; None counts as zero.
    """
    targets = logits.new_tensor([bool(label) for label in labels])
    known = logits.new_tensor([label is not None for label in labels])
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * known).sum() / len(labels)


def _class_logits(detector: MedMask, batch: list[dict[str, Any]]) -> Tensor:
    """(N, Q, K) of the last decoder layer."""
    return detector.detect(detector.preprocess_image(batch)).decoder.logits[-1]
