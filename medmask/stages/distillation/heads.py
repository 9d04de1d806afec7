"""Distillation of a foundation model's embeddings into the decoder's queries.

Let q_1 ... q_Q be an image's queries after the last decoder layer, u(x) = x / |x|, and H_i, H_l two
learned projection heads C -> D, D being the expert's dimension. The losses are

- image level: the pooled queries z = H_i(mean_k u(q_k)) against e, the expert's embedding of the
  image;
- lesion level: each matched query z = H_l(q_k) against e, the expert's embedding of a crop around
  the lesion that the query answers for;
- zero-shot: KL(p(e) || p(z)) for z and e of the lesion level, where p(x) = softmax_c(s u(x) . t_c)
  is a soft assignment to classes that are described in words: t_c is the expert's embedding of the
  words, and s the expert's own factor from similarity to logit.

"Against" is a :class:`ContrastiveLoss`, such as InfoNCE with a queue of past expert embeddings. All
are means over the images, or matches, of all processes; one that the expert has not seen has none.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.experts import PromptEmbeddings
from medmask.layers import MLP
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.dense import DenseDistillation
from medmask.stages.distillation.embedding_queue import EmbeddingQueue
from medmask.stages.distillation.embedding_space import EmbeddingSpace
from medmask.stages.distillation.expert_contrast import ExpertContrast, unit_vectors
from medmask.utils.distributed import mean_over_processes


@dataclass(frozen=True)
class ExpertEmbeddings:
    """The expert's embeddings of R things of a batch; R may be 0."""

    index: Tensor
    """(R,) int64: which images of the batch, or which matches"""
    embeddings: Tensor
    """(R, D) float32"""
    keys: Tensor
    """(R,) int64: one number for each image, or each lesion, of the training set"""

    def to(self, device: torch.device) -> "ExpertEmbeddings":
        return ExpertEmbeddings(
            self.index.to(device, non_blocking=True),
            self.embeddings.to(device, non_blocking=True),
            self.keys.to(device, non_blocking=True),
        )


class WordClasses(NamedTuple):
    """C classes that are described in words, as the expert sees them."""

    embeddings: Tensor
    """(C, D) float32, each of length 1"""
    logit_scale: float
    """factor from cosine similarity to logit"""

    @classmethod
    def of(cls, prompts: PromptEmbeddings | None, device: torch.device) -> "WordClasses | None":
        """Take those of an expert's prompts; None of an expert that reads no texts."""
        if prompts is None:
            return None
        return cls(torch.from_numpy(prompts.class_embeddings).to(device), prompts.logit_scale)

    def log_assignment(self, x: Tensor) -> Tensor:
        """(R, D), of any length -> (R, C), the logarithm of the probabilities p(x)."""
        x = unit_vectors(x)
        return (self.logit_scale * x @ self.embeddings.T.to(x.dtype)).log_softmax(dim=1)


class ExpertDistillation(nn.Module):
    """Projection heads, queues and the losses; what training adds to the detector in stage 3.

    Every parameter takes part in every call, whatever the batch holds; see the module's docstring
    for the equations. The projections of a batch without lesions have a loss of zero.
    """

    def __init__(
        self,
        *,
        query_dim: int,
        expert_dim: int,
        loss: ContrastiveLoss,
        queue_size: int,
        image_weight: float,
        lesion_weight: float,
        zero_shot_weight: float,
        dense: DenseDistillation | None = None,
        image_loss: ContrastiveLoss | None = None,
        image_space: EmbeddingSpace | None = None,
        lesion_space: EmbeddingSpace | None = None,
        highest_negative_similarity: float = 1.0,
    ) -> None:
        """Create what the losses of a weight above 0 need, and nothing else.

        Args:
            query_dim: C, channels of the decoder's queries.
            expert_dim: D, dimension of the expert's embeddings.
            loss: of the image level and the lesion level.
            queue_size: past expert embeddings of either level that serve as negatives.
            image_weight: of the image level.
            lesion_weight: of the lesion level.
            zero_shot_weight: of the zero-shot assignment, whose gradient grows with s.
            dense: the dense level, which is called by itself.
            image_loss: of the image level, if it is another.
            image_space: in which images are compared.
            lesion_space: in which lesions are compared.
            highest_negative_similarity: see :class:`ExpertContrast`.
        """
        super().__init__()
        self.image_weight = image_weight
        self.lesion_weight = lesion_weight
        self.zero_shot_weight = zero_shot_weight
        self.dense = dense
        if image_weight:
            self.image_head = MLP(query_dim, query_dim, expert_dim, num_layers=2)
            self.image_contrast = ExpertContrast(
                image_loss or loss, queue_size, expert_dim, image_space, highest_negative_similarity
            )
        if lesion_weight or zero_shot_weight:
            self.lesion_head = MLP(query_dim, query_dim, expert_dim, num_layers=2)
        if lesion_weight:
            self.lesion_contrast = ExpertContrast(
                loss, queue_size, expert_dim, lesion_space, highest_negative_similarity
            )

    def clear_queues(self) -> None:
        """Forget past embeddings, such as those that came with the weights of another run."""
        for module in self.modules():
            if isinstance(module, EmbeddingQueue):
                module.clear()

    def embed_images(self, queries: Tensor) -> Tensor:
        """Project the pooled queries of images: (N, Q, C) -> (N, D)."""
        return self.image_head(unit_vectors(queries).mean(dim=1))

    def forward(
        self,
        queries: Tensor,
        matches: Matches,
        images: ExpertEmbeddings,
        lesions: ExpertEmbeddings,
        classes: WordClasses | None,
    ) -> dict[str, Tensor]:
        """Compute the weighted losses that are on.

        Args:
            queries: (N, Q, C), after the last decoder layer.
            matches: which query answers for which lesion.
            images: of those images of the batch that the expert has seen, by index into the batch.
            lesions: of those matches whose lesion the expert has seen, by index into ``matches``.
            classes: what lesions are assigned to; None if the zero-shot assignment is off.

        Returns:
            ``image``, ``lesion``, ``zero_shot``: scalars.
        """
        losses = {}
        if self.image_weight:
            student = self.embed_images(queries[images.index])
            loss = self.image_contrast(student, images.embeddings, images.keys)
            losses["image"] = self.image_weight * loss
        if self.lesion_weight or self.zero_shot_weight:
            matched = queries[matches.image[lesions.index], matches.prediction[lesions.index]]
            student = self.lesion_head(matched)  # (R, D)
        if self.lesion_weight:
            loss = self.lesion_contrast(student, lesions.embeddings, lesions.keys)
            losses["lesion"] = self.lesion_weight * loss
        if self.zero_shot_weight and classes is not None:
            loss = zero_shot_divergence(student, lesions.embeddings, classes)
            losses["zero_shot"] = self.zero_shot_weight * loss
        return losses


def zero_shot_divergence(student: Tensor, expert: Tensor, classes: WordClasses) -> Tensor:
    """The mean of KL(expert || student) between the assignments of R things to C classes.

    Args:
        student: (R, D), of any length.
        expert: (R, D), likewise.
        classes: what they are assigned to.

    Returns:
        A scalar, at least 0, see :func:`mean_over_processes`.
    """
    with torch.autocast(student.device.type, enabled=False):
        divergence = F.kl_div(
            classes.log_assignment(student),
            classes.log_assignment(expert),
            reduction="none",
            log_target=True,
        )
        return mean_over_processes(divergence.sum(dim=1))
