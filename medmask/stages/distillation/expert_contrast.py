"""Student embeddings against expert embeddings: who is a negative of whom."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.errors import InputError
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.embedding_queue import EmbeddingQueue
from medmask.stages.distillation.embedding_space import EmbeddingSpace
from medmask.utils.distributed import gather_rows, mean_over_processes


class ExpertContrast(nn.Module):
    """The mean loss between the student's and the expert's embeddings of R objects.

    The negatives of an object are the expert's embeddings of all other objects of the batch, those
    of other processes included, and of objects of past batches, from a queue. Keys tell objects
    apart: what has the object's own key is no negative of it, wherever it comes from. Nor is what
    the expert itself finds all but the same: such negatives are mostly false.
    """

    def __init__(
        self,
        loss: ContrastiveLoss,
        queue_size: int,
        embedding_dim: int,
        space: EmbeddingSpace | None = None,
        highest_negative_similarity: float = 1.0,
    ) -> None:
        """Create the contrast.

        Args:
            loss: of one object, given similarities.
            queue_size: embeddings of past batches that are kept, 0 for none. A loss that uses no
                negatives gets no queue.
            embedding_dim: D.
            space: in which student and expert are compared; that of the embeddings if None.
            highest_negative_similarity: cosine of the expert's embeddings, in that space, above
                which an object is no negative of another; 1 for no limit.

        Raises:
            InputError: ``queue_size`` is negative.
        """
        super().__init__()
        if queue_size < 0:
            raise InputError(f"queue_size is {queue_size}, but must be at least 0")
        self.loss = loss
        self.space = space
        self.highest_negative_similarity = highest_negative_similarity
        has_queue = loss.uses_negatives and queue_size > 0
        self.queue = EmbeddingQueue(queue_size, embedding_dim) if has_queue else None

    def forward(self, student: Tensor, expert: Tensor, keys: Tensor) -> Tensor:
        """Compute the loss, then put the expert's embeddings into the queue.

        All is computed in float32 at least, also under autocast.

        Args:
            student: (R, D), of any length. R may be 0, also in some processes alone.
            expert: (R, D), of the same objects.
            keys: (R,) int64, one number for each object of the data set.

        Returns:
            A scalar, see :func:`mean_over_processes`.
        """
        with torch.autocast(student.device.type, enabled=False):
            student = self.to_space(student)
            expert = self.to_space(expert).to(student.dtype)
            positive = (student * expert).sum(dim=1)
            others, other_keys, is_filled = self._candidates(expert, keys)
            # with no object there is no similarity to learn from, but a loss in the graph
            losses = positive
            if len(keys):
                is_negative = (keys[:, None] != other_keys) & is_filled
                if self.highest_negative_similarity < 1:
                    is_negative &= expert @ others.T <= self.highest_negative_similarity
                losses = self.loss(positive, student @ others.T, is_negative)
            return mean_over_processes(losses)

    def to_space(self, embeddings: Tensor) -> Tensor:
        """(R, D) of any length -> (R, D) of length 1, in the space of the comparison."""
        vectors = unit_vectors(embeddings)
        return vectors if self.space is None else unit_vectors(self.space(vectors))

    def _candidates(self, expert: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Collect the candidates for negatives.

        Returns:
            Embeddings (M, D), their keys (M,), and (M,) bool, False for empty slots of the queue.
        """
        if not self.loss.uses_negatives:
            expert, keys = expert[:0], keys[:0]
        else:
            expert, keys = gather_rows(expert, keys)
        is_filled = torch.ones_like(keys, dtype=torch.bool)
        if self.queue is None:
            return expert, keys, is_filled
        # copies, because the queue changes before the backward pass reads them
        candidates = (
            torch.cat((expert, self.queue.embeddings)),
            torch.cat((keys, self.queue.keys)),
            torch.cat((is_filled, self.queue.is_filled)),
        )
        self.queue.enqueue(expert, keys)
        return candidates


def unit_vectors(x: Tensor) -> Tensor:
    """(..., D) -> (..., D) of length 1, float32 or, from float64, float64."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
