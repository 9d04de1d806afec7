"""Retrieval of the expert's embeddings by the student's, on held-out images."""

import logging

import torch
from torch import Tensor

from medmask.experts import ExpertEntry
from medmask.modeling import MedMask
from medmask.stages.distillation.expert_contrast import unit_vectors
from medmask.stages.distillation.heads import ExpertDistillation
from medmask.stages.learning import LearningMeasure, Sample, chance_margin

logger = logging.getLogger(__name__)


class Retrieval:
    """Top-1 accuracy: whether an object's own expert embedding is the most similar of all.

    A constant answer finds one embedding for all objects, and is right for one of them: 1 / n.
    """

    def __init__(self) -> None:
        self._students: list[Tensor] = []
        self._experts: list[Tensor] = []

    def add(self, student: Tensor, expert: Tensor) -> None:
        """Add R objects: (R, D) each, of any length."""
        self._students.append(unit_vectors(student).cpu())
        self._experts.append(unit_vectors(expert).cpu())

    def measure(self) -> LearningMeasure | None:
        """Measure over all objects; None where there are fewer than two to tell apart."""
        count = sum(map(len, self._students))
        if count < 2:
            return None
        similarity = torch.cat(self._students) @ torch.cat(self._experts).T
        own = similarity.diagonal()
        # What is as similar as its own counts as found first: a constant expert is never right.
        others = similarity - torch.diag(torch.full((count,), torch.inf))
        accuracy = float((own > others.amax(dim=1)).double().mean())
        return LearningMeasure(accuracy, 1 / count, chance_margin(1 / count, count))


class StudentRetrieval:
    """Retrieval of images by the head of images, and of lesions by that of lesions.

    A lesion is looked for by the query that is matched to it. Images and lesions are compared in
    the spaces in which they are taught.

    Args:
        detector: in evaluation mode.
        distillation: its heads; what has none is not measured.
    """

    def __init__(self, detector: MedMask, distillation: ExpertDistillation) -> None:
        self._detector = detector
        self._distillation = distillation
        self._has_lesion_head = bool(distillation.lesion_weight or distillation.zero_shot_weight)
        self._images, self._lesions = Retrieval(), Retrieval()

    def add(self, sample: Sample, known: ExpertEntry) -> None:
        """Add a held-out image and its lesions.

        Args:
            sample: of the image.
            known: the expert's embeddings of them.
        """
        detector, taught = self._detector, self._distillation
        output = detector.detect(detector.preprocess_image([sample])).decoder
        if taught.image_weight:
            student = taught.embed_images(output.queries)
            expert = torch.from_numpy(known.image_embedding)[None].to(student.device)
            to_space = taught.image_contrast.to_space
            self._images.add(to_space(student), to_space(expert))
        if self._has_lesion_head and "instances" in sample and len(sample["instances"]):
            targets = detector.prepare_targets([sample])
            matches = detector.criterion.matcher(output.logits[-1], output.boxes[-1], targets)
            index = sample["instances"].gt_annotation_index[matches.target.cpu()]
            student = taught.lesion_head(output.queries[0, matches.prediction])
            expert = torch.from_numpy(known.lesion_embeddings[index.numpy()]).to(student.device)
            if taught.lesion_weight:
                to_space = taught.lesion_contrast.to_space
                student, expert = to_space(student), to_space(expert)
            self._lesions.add(student, expert)

    def measures(self) -> dict[str, LearningMeasure]:
        """Measure ``image`` and ``lesion``; without what has no head, or fewer than two objects."""
        found = {"image": self._images.measure(), "lesion": self._lesions.measure()}
        if self._has_lesion_head and found["lesion"] is None:
            logger.info("Fewer than two lesions are held out: their retrieval is not measured.")
        return {kind: measure for kind, measure in found.items() if measure is not None}
