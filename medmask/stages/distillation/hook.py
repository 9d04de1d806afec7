"""Stage 3: a foundation model's stored embeddings teach the detector."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.heads import ExpertDistillation, WordClasses
from medmask.stages.distillation.store_lookup import ExpertLookup
from medmask.stages.loss_hook import LossHook

_MISSING = ("error", "skip")
_SAME_IN_ALL_STORES = (
    "model",
    "weights_sha256",
    "embedding_dim",
    "preprocessing",
    "prompts",
    "logit_scale",
)


class ExpertDistillationHook(LossHook):
    """Adds the losses of :class:`ExpertDistillation` to the step of the labeled batch.

    The expert's embeddings come from stores that tools/extract_expert_embeddings.py made of the
    training images ahead of time; neither the expert nor open_clip is needed here. They are of the
    whole image, and of upright crops around lesions: the student learns to see through the
    flips and crops of train augmentation.

    Target images, whose boxes are guesses, teach nothing. The past embeddings that serve as
    negatives are buffers of the hook's module; a new run starts without any.
    """

    module_name = "expert_distillation"
    module: ExpertDistillation

    def __init__(
        self,
        stores: Sequence[str],
        *,
        loss: ContrastiveLoss,
        queue_size: int = 1024,
        image_weight: float = 1.0,
        lesion_weight: float = 1.0,
        zero_shot_weight: float = 1.0,
        missing: str = "error",
    ) -> None:
        """Create the hook; no file is read.

        Args:
            stores: the folder of the expert store of each labeled data set, in any order.
            loss: of the image level and the lesion level.
            queue_size: past expert embeddings of either level that serve as negatives.
            image_weight: of the image level.
            lesion_weight: of the lesion level.
            zero_shot_weight: of the zero-shot assignment, whose gradient grows with the expert's
                factor from similarity to logit (about 14 for the phantoms' expert, up to 100 for
                CLIP).
            missing: treatment of training images that no store holds: ``"error"`` names them
                and stops; ``"skip"`` counts them in the log and trains on them without expert. An
                image that changed since the store was made is an error in any case.

        Raises:
            InputError: no store is given, ``missing`` is something else, or no loss is on.
        """
        super().__init__()
        self.folders = [stores] if isinstance(stores, str) else list(stores)
        if not self.folders:
            raise InputError(
                "loss_hooks.expert_distillation.stores is empty: name the expert store of each "
                "labeled data set"
            )
        if missing not in _MISSING:
            raise InputError(
                f"loss_hooks.expert_distillation.missing is {missing!r}: choose "
                f"{' or '.join(_MISSING)}"
            )
        self.missing = missing
        self.loss = loss
        self.queue_size = queue_size
        self.weights = {
            "image_weight": image_weight,
            "lesion_weight": lesion_weight,
            "zero_shot_weight": zero_shot_weight,
        }
        _check_weights(self.weights)

    def build(self, detector: MedMask) -> None:
        """Open the stores, and make projections into the space of their embeddings.

        Raises:
            InputError: a folder holds no store, or stores were not made by one expert.
        """
        self.stores = [ExpertStore(folder) for folder in self.folders]
        first = self.stores[0]
        for store in self.stores:
            _check_same_expert(store, first)
        distillation = ExpertDistillation(
            query_dim=detector.transformer.embed_dim,
            expert_dim=first.settings.embedding_dim,
            loss=self.loss,
            queue_size=self.queue_size,
            **self.weights,
        )
        self.register_module(detector, distillation)
        self._classes = WordClasses(
            torch.from_numpy(first.prompts.class_embeddings).to(detector.device),
            first.prompts.logit_scale,
        )

    def before_train(self) -> None:
        """Find every training image in the stores.

        Raises:
            InputError: an image is missing or has changed, see the constructor.
        """
        super().before_train()
        records = self.trainer.loader.stream.dataset_dicts
        self._lookup = ExpertLookup(self.stores, records, skip_missing=self.missing == "skip")
        if self.trainer.start_iter == 0:
            # with the weights that a run starts from may come embeddings of another expert
            self.module.clear_queues()

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Compute ``loss_expert_image``, ``loss_expert_lesion``, ``loss_expert_zero_shot``.

        Those that are on. None for target images: the labeled batch takes in every parameter.
        """
        if step.domain is not Domain.SOURCE:
            return {}
        queries = step.outputs.decoder.queries
        samples, matches = step.batched_inputs, step.matches
        return self.module(
            queries,
            matches,
            self._lookup.image_embeddings(samples).to(queries.device),
            self._lookup.lesion_embeddings(samples, matches).to(queries.device),
            self._classes,
        )


def _check_weights(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if weight < 0:
            raise InputError(
                f"loss_hooks.expert_distillation.{name} is {weight}, but must be at least 0"
            )
    if not any(weights.values()):
        raise InputError(
            f"all of loss_hooks.expert_distillation's {', '.join(weights)} are 0: set one above 0, "
            "or remove the hook"
        )


def _check_same_expert(store: ExpertStore, first: ExpertStore) -> None:
    for key in _SAME_IN_ALL_STORES:
        if getattr(store.settings, key) != getattr(first.settings, key):
            raise InputError(
                f"expert stores {first.folder} and {store.folder} were made with another {key}: "
                "make both with the same options of tools/extract_expert_embeddings.py"
            )
