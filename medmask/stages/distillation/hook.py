"""Stage 3: a foundation model's stored embeddings teach the detector."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from medmask.errors import InputError
from medmask.experts import ExpertStore, join_patch_moments
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages.distillation.compatibility import (
    check_breast_crop,
    check_offers,
    check_same_expert,
    check_weights,
    class_index,
    levels_of_strides,
)
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.dense import DENSE_LOSSES, DenseDistillation
from medmask.stages.distillation.embedding_space import SPACES, make_space
from medmask.stages.distillation.heads import ExpertDistillation, WordClasses
from medmask.stages.distillation.held_out import HeldOutStores
from medmask.stages.distillation.normal_queries import (
    find_normal_queries,
    normal_cross_entropy,
)
from medmask.stages.distillation.store_lookup import ExpertLookup
from medmask.stages.exclusive_options import MIXUP_AND_EXPERT
from medmask.stages.learning import LearningMeasure, Sample
from medmask.stages.loss_hook import LossHook
from medmask.utils.periods import Period, check_period, to_iterations_within

_MISSING = ("error", "skip")
DEFAULT_NAME = "expert"
KEY_SUFFIX = "_distillation"
"""of the key of a hook in ``loss_hooks``, after the name of its expert"""


class ExpertDistillationHook(LossHook):
    """Adds the losses of :class:`ExpertDistillation` to the step of the labeled batch.

    The expert's embeddings come from stores that medmask extract-embeddings made of the
    training images ahead of time; neither the expert nor open_clip is needed here. Those of the
    whole image, and of upright crops around lesions, leave it to the student to see through the
    flips and crops of train augmentation; the patches of the dense level follow them.

    Several experts teach at once by several hooks, each with a name of its own.

    Target images, whose boxes are guesses, teach nothing. The past embeddings that serve as
    negatives are buffers of the hook's module; a new run starts without any.
    """

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
        normal_queries: int = 0,
        normal_class: str = "normal",
        dense_weight: float = 0.0,
        dense_strides: Sequence[int] = (16, 32),
        dense_loss: str = "cosine",
        heads_alone: Period | None = None,
        image_loss: ContrastiveLoss | None = None,
        embedding_space: str = "as_is",
        same_patient_negatives: bool = True,
        highest_negative_similarity: float = 1.0,
        missing: str = "error",
        name: str = DEFAULT_NAME,
        held_out_stores: Sequence[str] | None = None,
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
            normal_queries: unmatched queries of each image, far from any lesion, that the zero-shot
                assignment is to give to ``normal_class``, with the same weight; see
                :func:`find_normal_queries`. 0 for none.
            normal_class: the class of the stores' prompts that is no lesion.
            dense_weight: of the dense level, the encoder's tokens against the expert's patches; see
                :class:`DenseDistillation`.
            dense_strides: of the levels whose tokens learn, in pixels.
            dense_loss: ``"cosine"`` or ``"smooth_l1"``.
            heads_alone: iterations, or a share of the run, in which the losses train the new heads
                and nothing else; none if None. Random heads would first pull the detector anywhere.
            image_loss: of the image level, if it is another: an expert whose images are nearly
                alike needs a temperature of 0.01 to 0.02 there.
            embedding_space: in which image and lesion level compare: ``"as_is"``, ``"centered"`` or
                ``"whitened"`` by the statistics of the stores, see :class:`EmbeddingSpace`.
            same_patient_negatives: whether another image or lesion of the patient is a negative.
            highest_negative_similarity: cosine of the expert's embeddings in that space above which
                they are no negatives of each other; 1 for no limit.
            missing: treatment of training images that no store holds: ``"error"`` names them
                and stops; ``"skip"`` counts them in the log and trains on them without expert. An
                image that changed since the store was made is an error in any case.
            name: of the expert, in the names of the losses, ``loss_<name>_image``, and of the
                hook's module, ``<name>_distillation``, which is also the hook's key in
                ``loss_hooks``: a config with another is refused. It has no dot.
            held_out_stores: folders of expert stores of the evaluated data set, by the same expert,
                to measure how often the student's embedding of an image or lesion finds the
                expert's; without any this is not measured.

        Raises:
            InputError: no store is given, ``missing`` is something else, no loss is on, or the name
                has a dot.
        """
        super().__init__()
        self.name = name
        self.module_name = f"{name}{KEY_SUFFIX}"
        self.key = f"loss_hooks.{self.module_name}"
        if "." in name:  # PyTorch parts the names of modules by dots
            raise InputError(f"an expert's name is {name!r}, but must have no dot: give another")
        self.folders = [stores] if isinstance(stores, str) else list(stores)
        if not self.folders:
            raise InputError(
                f"{self.key}.stores is empty: name the expert store of each labeled data set"
            )
        for key, value, choices in (
            ("missing", missing, _MISSING),
            ("dense_loss", dense_loss, DENSE_LOSSES),
            ("embedding_space", embedding_space, SPACES),
        ):
            if value not in choices:
                raise InputError(f"{self.key}.{key} is {value!r}: choose {' or '.join(choices)}")
        if heads_alone is not None:
            check_period(heads_alone, f"{self.key}.heads_alone")
        self.heads_alone = heads_alone
        self.dense_strides = list(dense_strides)
        self.dense_loss = dense_loss
        self.image_loss = image_loss
        self.embedding_space = embedding_space
        self.same_patient_negatives = same_patient_negatives
        self.highest_negative_similarity = highest_negative_similarity
        self.missing = missing
        held_out = held_out_stores or []
        self._held_out = HeldOutStores(
            [held_out] if isinstance(held_out, str) else list(held_out), self.key
        )
        self.loss = loss
        self.queue_size = queue_size
        self.weights = {
            "image_weight": image_weight,
            "lesion_weight": lesion_weight,
            "zero_shot_weight": zero_shot_weight,
        }
        self.normal_queries = normal_queries
        self.normal_class = normal_class
        if normal_queries < 0 or (normal_queries and not zero_shot_weight):
            raise InputError(
                f"{self.key}.normal_queries is {normal_queries}, but must be 0, or above with a "
                "zero_shot_weight above 0, whose part they are"
            )
        self.dense_weight = dense_weight
        check_weights({**self.weights, "dense_weight": dense_weight}, self.key)

    def build(self, detector: MedMask) -> None:
        """Open the stores, and make projections into the space of their embeddings.

        Raises:
            InputError: a folder holds no store, or stores were not made by one expert.
        """
        self.stores = [ExpertStore(folder) for folder in self.folders]
        self._held_out.open()
        first = self.stores[0]
        for store in (*self.stores, *self._held_out.stores):
            check_same_expert(store, first)
        for store in self.stores:
            check_offers(store, self.weights["zero_shot_weight"], self.dense_weight, self.key)
        distillation = ExpertDistillation(
            query_dim=detector.transformer.embed_dim,
            expert_dim=first.settings.embedding_dim,
            loss=self.loss,
            queue_size=self.queue_size,
            dense=self._make_dense(detector) if self.dense_weight else None,
            image_loss=self.image_loss,
            image_space=make_space((x.image_embeddings for x in self.stores), self.embedding_space),
            lesion_space=make_space(
                (x.lesion_embeddings for x in self.stores), self.embedding_space
            ),
            highest_negative_similarity=self.highest_negative_similarity,
            **self.weights,
        )
        self.register_module(detector, distillation)
        self._classes = WordClasses.of(first.prompts, detector.device)
        if self.normal_queries:
            self._normal_index = class_index(first, self.normal_class, f"{self.key}.normal_class")

    def _make_dense(self, detector: MedMask) -> DenseDistillation:
        levels = levels_of_strides(detector, self.dense_strides, f"{self.key}.dense_strides")
        moments = [store.patch_moments for store in self.stores if store.patch_moments is not None]
        return DenseDistillation(
            detector.transformer.embed_dim, levels, join_patch_moments(moments), self.dense_loss
        )

    def set_run_length(self, max_iter: int) -> None:
        """See :class:`LossHook`; the heads must not be alone for the whole run."""
        self._heads_alone_for = 0
        if self.heads_alone is not None:
            self._heads_alone_for = to_iterations_within(
                self.heads_alone, max_iter, f"{self.key}.heads_alone"
            )

    def before_train(self) -> None:
        """Find every training image in the stores.

        Raises:
            InputError: an image is missing or has changed, see the constructor, or the loader mixes
                images, of whose sums there are no embeddings.
        """
        stream = self.trainer.loader.stream
        if getattr(stream, "mix", None) is not None:
            raise InputError(MIXUP_AND_EXPERT.sentence(self.key))
        super().before_train()
        if self.weights["image_weight"]:
            check_breast_crop(self.stores, stream.mapper, self.key)
        records = stream.dataset_dicts
        self._lookup = ExpertLookup(
            self.stores,
            records,
            self.key,
            skip_missing=self.missing == "skip",
            same_patient_negatives=self.same_patient_negatives,
        )
        if self.trainer.start_iter == 0:
            # with the weights that a run starts from may come embeddings of another expert
            self.module.clear_queues()

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Compute ``loss_<name>_image``, ``_lesion``, ``_zero_shot``, ``_normal`` and ``_dense``.

        Those that are on. None for target images: the labeled batch takes in every parameter.
        """
        if step.domain is not Domain.SOURCE:
            return {}
        queries, memory = step.outputs.decoder.queries, step.outputs.memory
        if self.trainer.iter < self._heads_alone_for:
            queries, memory = queries.detach(), memory.detach()
        samples, matches = step.batched_inputs, step.matches
        losses = self.module(
            queries,
            matches,
            self._lookup.image_embeddings(samples).to(queries.device),
            self._lookup.lesion_embeddings(samples, matches).to(queries.device),
            self._classes,
        )
        if self.normal_queries:
            losses["normal"] = self._normal_loss(step, queries)
        if self.module.dense is not None:
            maps = step.outputs.tokens.split_levels(memory)
            dense = self.module.dense(maps, self._lookup.patches(samples))
            losses["dense"] = self.dense_weight * dense
        return {f"loss_{self.name}_{level}": loss for level, loss in losses.items()}

    def _normal_loss(self, step: SupervisedStep, queries: Tensor) -> Tensor:
        decoder = step.outputs.decoder
        chosen = find_normal_queries(
            decoder.logits[-1], decoder.boxes[-1], step.targets, step.matches, self.normal_queries
        )
        student = self.module.lesion_head(queries[chosen])
        assert self._classes is not None  # as there is a weight for them
        loss = normal_cross_entropy(student, self._classes, self._normal_index)
        return self.weights["zero_shot_weight"] * loss

    def check_held_out(self, records: Sequence[dict[str, Any]]) -> None:
        """See :class:`LossHook`.

        Raises:
            InputError: ``held_out_stores`` hold fewer than two of the images, or one has changed.
        """
        if self._has_embeddings_to_find:
            self._held_out.check(records)

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure the retrieval of the expert's embeddings of held-out images and lesions."""
        if not self._has_embeddings_to_find:
            return {}
        measures = self._held_out.measure(self.trainer.detector, self.module, samples)
        return {f"{self.name}/retrieval_{kind}": measure for kind, measure in measures.items()}

    @property
    def _has_embeddings_to_find(self) -> bool:
        """False with the dense level alone."""
        return any(self.weights.values())
