"""Adaptation without target labels: a teacher labels unlabeled images for its student.

The student is the model that is trained; the teacher is the moving average of its weights (mean
teacher, Tarvainen and Valpola, 2017). The teacher sees a weak view of each image and the student a
strong view of the same geometry (unbiased teacher, Liu et al., 2021).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import Tensor, distributed, nn
from torchvision.ops import box_convert

from medmask.data.loaders import TrainLoader
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.hook import ExpertDistillationHook
from medmask.stages.exclusive_options import PASTING_AND_EXPERT
from medmask.stages.learning import LearningMeasure, Sample
from medmask.stages.loss_hook import LossHook
from medmask.stages.mean_teacher.copy_paste import LesionCopyPaste
from medmask.stages.mean_teacher.ema import (
    make_detector_average,
    restart_average,
    update_average,
)
from medmask.stages.mean_teacher.pseudo_label_metrics import (
    NUM_COUNTS,
    PseudoLabelQuality,
    count_hits,
    measure_pseudo_labels,
)
from medmask.stages.mean_teacher.pseudo_labels import PseudoLabels, select_pseudo_labels
from medmask.stages.mean_teacher.thresholds import ConfidenceThreshold, sum_positive_scores

TEACHER = "teacher"


class TeacherHook(LossHook):
    """Adds, in every iteration, a supervised step on unlabeled images with the teacher's labels.

    The labels teach classes; their positions are less certain, and teach by option only.
    The teacher starts as a copy of the student without what only training uses, so its weights load
    wherever a detector's do. BatchNorm statistics are averaged like weights: the student's, which
    follow its source batches and its strong target batches in turn, so the teacher normalizes weak
    target images by statistics of the mixture.

    Logged, besides the losses ``..._target``: thresholds and pseudo boxes per image; pasted lesions
    per image with copy-paste; and, where the loader gives ``instances`` (ground truth, used for
    nothing else), precision and recall.
    """

    makes_target_steps = True

    def __init__(
        self,
        *,
        loader: TrainLoader,
        threshold: ConfidenceThreshold,
        ema_decay: float = 0.9996,
        loss_weight: float = 1.0,
        teach_boxes: bool = False,
        copy_paste: LesionCopyPaste | None = None,
    ) -> None:
        """Create the hook.

        Args:
            loader: of samples as :class:`medmask.data.PairedViewMapper` gives them.
            threshold: above which score a box of the teacher becomes a label.
            ema_decay: share of the teacher that stays in each iteration, in [0, 1).
            loss_weight: of the supervised losses on pseudo labels; losses of other hooks on the
                outputs have weights of their own.
            teach_boxes: whether the losses on boxes count, too, not those on classes alone.
            copy_paste: of lesions between the labeled and the unlabeled images of an iteration.

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
        self.teach_boxes = teach_boxes
        self.copy_paste = copy_paste
        self.quality = PseudoLabelQuality()

    def build(self, detector: MedMask) -> None:
        self.threshold.build(detector.transformer.num_classes)
        self.teacher = make_detector_average(detector)

    def set_run_length(self, max_iter: int) -> None:
        self.threshold.set_run_length(max_iter)

    def before_train(self) -> None:
        for hook in self.trainer.loss_hooks if self.copy_paste is not None else ():
            if isinstance(hook, ExpertDistillationHook):
                raise InputError(PASTING_AND_EXPERT.sentence(hook.key))
        super().before_train()
        if self.trainer.start_iter == 0:
            restart_average(self.teacher, self.trainer.detector)

    def before_step(self) -> None:
        self._thresholds = self.threshold.at(self.trainer.iter / self.trainer.max_iter)
        num_classes = self.threshold.num_classes
        self._positives = torch.zeros(2, num_classes, dtype=torch.float64, device=self._device)
        self._counted = torch.zeros(3 + NUM_COUNTS, dtype=torch.float64)

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Note the scores on labeled images for the threshold; no loss."""
        if step.domain is Domain.SOURCE:
            logits, matches = step.outputs.decoder.logits[-1], step.matches
            if self.copy_paste is not None:
                # what is pasted comes last, and is there because it has passed the threshold
                num_labeled = torch.tensor(self._num_labeled, device=logits.device)
                is_labeled = matches.target < num_labeled[matches.image]
                matches = Matches(*(x[is_labeled] for x in matches))
            self._positives += sum_positive_scores(logits, matches)
        return {}

    def prepare_batch(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Label the unlabeled batch and, with copy-paste, exchange lesions with the labeled one."""
        unlabeled = self.next_batch()
        labels = self._label(unlabeled)
        self._count(unlabeled, labels)
        self._student_batch = [
            {**sample, "image": _strong_view(sample), "instances": instances}
            for sample, instances in zip(unlabeled, labels, strict=True)
        ]
        if self.copy_paste is not None:
            self._num_labeled = [len(sample["instances"]) for sample in batch]
            batch, self._student_batch, pasted = self.copy_paste(batch, self._student_batch)
            self._counted[2] += pasted
        return batch

    def step_losses(self) -> dict[str, Tensor]:
        return self.trainer.supervised_losses(
            self._student_batch, Domain.TARGET, self.loss_weight, classes_only=not self.teach_boxes
        )

    @torch.no_grad()
    def _label(self, batch: list[dict[str, Any]]) -> list[Instances]:
        """Make the teacher's labels: per image ``gt_boxes``, ``gt_classes`` and ``scores``."""
        images = self.teacher.preprocess_image(batch)
        output = self.teacher.detect(images).decoder
        labels = select_pseudo_labels(output.logits[-1], output.boxes[-1], self._thresholds)
        return [
            _to_instances(image, size)
            for image, size in zip(labels, images.image_sizes, strict=True)
        ]

    def _count(self, batch: list[dict[str, Any]], labels: Sequence[Instances]) -> None:
        """Count images, labels and, where there is ground truth, hits."""
        self._counted[0] += len(batch)
        self._counted[1] += sum(map(len, labels))
        for sample, instances in zip(batch, labels, strict=True):
            if "instances" in sample:
                ground_truth = sample["instances"].to(instances.scores.device)
                self._counted[3:] += count_hits(instances, ground_truth)

    def after_step(self) -> None:
        update_average(self.teacher, self.trainer.detector, self.ema_decay)
        self._observe()

    def _observe(self) -> None:
        """Tell the threshold and the log about the step of all processes."""
        everything = torch.cat((self._positives.flatten(), self._counted.to(self._device)))
        if comm.get_world_size() > 1:
            distributed.all_reduce(everything)
        num_classes = self.threshold.num_classes
        score_sums, counts, (num_images, num_labels, num_pasted), hits = everything.cpu().split(
            (num_classes, num_classes, 3, NUM_COUNTS)
        )
        self.threshold.observe(score_sums, counts)
        self.quality.add(hits)
        values = {"boxes_per_image": (num_labels / num_images).item()}
        if self.copy_paste is not None:
            values["pasted_per_image"] = (num_pasted / num_images).item()
        values |= {f"threshold_{k}": value for k, value in enumerate(self._thresholds.tolist())}
        values |= self.quality.metrics()
        self.trainer.storage.put_scalars(**{f"pseudo_labels/{k}": v for k, v in values.items()})

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure precision and recall of the teacher's labels; their boxes teach nothing."""
        self._thresholds = self.threshold.at(self.trainer.iter / self.trainer.max_iter)
        labels, truths = [], []
        for sample in samples:
            if "instances" not in sample:
                return {}
            labels += [x.to(torch.device("cpu")) for x in self._label([sample])]
            truths.append(sample["instances"])
        measures = measure_pseudo_labels(labels, truths)
        return {f"pseudo_labels/{name}": measure for name, measure in measures.items()}

    @property
    def _device(self) -> torch.device:
        return self.teacher.device

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
    """Scale boxes from [0, 1] to pixels, clipped to the image, as a mapper's boxes are."""
    height, width = image_size
    corners = box_convert(labels.boxes, "cxcywh", "xyxy")
    boxes = Boxes(corners * corners.new_tensor([width, height, width, height]))
    boxes.clip(image_size)
    return Instances(image_size, gt_boxes=boxes, gt_classes=labels.labels, scores=labels.scores)
