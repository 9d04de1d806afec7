"""Stage 3: a foundation model's stored embeddings teach the detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling import DetectionPass, Domain, MedMask
from medmask.stages.distillation.heads import ExpertDistillation, WordClasses
from medmask.stages.distillation.store_lookup import ExpertLookup
from medmask.stages.loss_hook import LossHook

MODULE = "expert_distillation"
"""The hook's part of the model: ``model.training_modules["expert_distillation"]``."""

_MISSING = ("error", "skip")
_SAME_IN_ALL_STORES = ("model", "weights_sha256", "preprocessing", "prompts", "logit_scale")


class ExpertDistillationHook(LossHook):
    """Adds the losses of :class:`ExpertDistillation` to the pass of the labelled batch.

    The expert's embeddings come from stores that tools/extract_expert_embeddings.py made of the
    training images ahead of time; neither the expert nor open_clip is needed here. They are of the
    whole image, and of upright crops around lesions: that train augmentation flips or crops what
    the student sees is for the student to see through.

    Target images, whose boxes are guesses, teach nothing. The past embeddings that serve as
    negatives are buffers of the model; a new run starts without any.
    """

    def __init__(self, stores: Sequence[str], missing: str = "error") -> None:
        """Create the hook; no file is read.

        Args:
            stores: the folder of the expert store of each labelled data set, in any order.
            missing: what to do about training images that no store holds: ``"error"`` names them
                and stops; ``"skip"`` counts them in the log and trains on them without expert. An
                image that changed since the store was made is an error in any case.

        Raises:
            InputError: no store is given, or ``missing`` is something else.
        """
        super().__init__()
        self.folders = [stores] if isinstance(stores, str) else list(stores)
        if not self.folders:
            raise InputError(
                "loss_hooks.expert_distillation.stores is empty: name the expert store of each "
                "labelled data set"
            )
        if missing not in _MISSING:
            raise InputError(
                f"loss_hooks.expert_distillation.missing is {missing!r}: choose "
                f"{' or '.join(_MISSING)}"
            )
        self.missing = missing

    def build(self, detector: MedMask) -> None:
        """Open the stores.

        Raises:
            InputError: the detector lacks the part that is trained, a folder holds no store, a
                store has embeddings of another dimension than the detector's projections, or
                stores were not made by one expert.
        """
        if MODULE not in detector.training_modules:
            raise InputError(
                f"loss_hooks.expert_distillation trains model.training_modules.{MODULE}, which the "
                "config lacks: take it from configs/common/models/expert_distillation.py"
            )
        distillation: ExpertDistillation = detector.training_modules[MODULE]
        self.stores = [ExpertStore(folder) for folder in self.folders]
        first = self.stores[0]
        for store in self.stores:
            _check_dimension(store, distillation.expert_dim)
            _check_same_expert(store, first)
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
            self.trainer.detector.training_modules[MODULE].clear_queues()

    def pass_losses(self, model: MedMask, detection: DetectionPass) -> dict[str, Tensor]:
        """``loss_expert_image``, ``loss_expert_lesion``, ``loss_expert_zero_shot``, if they are on.

        Nothing for target images: the labelled pass of the step takes in every parameter.
        """
        if detection.domain is not Domain.SOURCE:
            return {}
        samples, matches = detection.batched_inputs, detection.matches
        return model.training_modules[MODULE](
            detection.transformer.decoder.queries,
            matches,
            self._lookup.image_embeddings(samples).to(model.device),
            self._lookup.lesion_embeddings(samples, matches).to(model.device),
            self._classes,
        )


def _check_dimension(store: ExpertStore, expert_dim: int) -> None:
    dim = store.settings.embedding_dim
    if dim != expert_dim:
        raise InputError(
            f"expert store {store.folder} has embeddings of dimension {dim}, but "
            f"model.training_modules.{MODULE}.expert_dim is {expert_dim}: set it to {dim}"
        )


def _check_same_expert(store: ExpertStore, first: ExpertStore) -> None:
    for key in _SAME_IN_ALL_STORES:
        if getattr(store.settings, key) != getattr(first.settings, key):
            raise InputError(
                f"expert stores {first.folder} and {store.folder} were made with another {key}: "
                "make both with the same options of tools/extract_expert_embeddings.py"
            )
