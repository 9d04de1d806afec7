"""Checks that stores, the detector, the training images and the losses fit each other."""

from collections.abc import Callable, Mapping, Sequence

from medmask.data.breast import crops_to_breast
from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling import MedMask

_SAME_IN_ALL_STORES = (
    "model",
    "weights_sha256",
    "embedding_dim",
    "preprocessing",
    "prompts",
    "logit_scale",
)


def check_weights(weights: Mapping[str, float], key: str) -> None:
    """Check that the losses have weights that make sense.

    Args:
        weights: option -> factor of a loss.
        key: of the hook in the config.

    Raises:
        InputError: one is negative, or all are 0.
    """
    for name, weight in weights.items():
        if weight < 0:
            raise InputError(f"{key}.{name} is {weight}, but must be at least 0")
    if not any(weights.values()):
        raise InputError(
            f"all of {key}'s {', '.join(weights)} are 0: set one above 0, or remove the hook"
        )


def check_same_expert(store: ExpertStore, first: ExpertStore) -> None:
    """Check that one expert has made both stores, in the same way.

    Raises:
        InputError: it has not.
    """
    for key in _SAME_IN_ALL_STORES:
        if getattr(store.settings, key) != getattr(first.settings, key):
            raise InputError(
                f"expert stores {first.folder} and {store.folder} were made with another {key}: "
                "make both with the same options of medmask extract-embeddings"
            )


def check_offers(
    store: ExpertStore, zero_shot_weight: float, dense_weight: float, key: str
) -> None:
    """Check that a store holds what the losses need.

    Args:
        store: of an expert.
        zero_shot_weight: above 0 if texts are needed.
        dense_weight: above 0 if patches are needed.
        key: of the hook in the config.

    Raises:
        InputError: it does not.
    """
    if zero_shot_weight and store.prompts is None:
        raise InputError(
            f"{key}.zero_shot_weight is {zero_shot_weight}, but expert {store.settings.model} of "
            f"{store.folder} reads no texts: set it to 0"
        )
    if dense_weight and store.settings.patch_grid is None:
        raise InputError(
            f"{key}.dense_weight is {dense_weight}, but expert store {store.folder} has no patch "
            "tokens: make it without --no-patch-grid, of an expert that offers them, or set the "
            "weight to 0"
        )


def class_index(store: ExpertStore, name: str, key: str) -> int:
    """Find the number of a class of a store's prompts.

    Args:
        store: of an expert that reads texts.
        name: of the class.
        key: of the name in the config.

    Raises:
        InputError: the prompts have no such class.
    """
    assert store.prompts is not None
    names = store.prompts.class_names
    if name not in names:
        raise InputError(
            f"{key} is {name!r}, but the prompts of expert store {store.folder} are of the classes "
            f"{', '.join(names)}: choose one of them"
        )
    return names.index(name)


def check_breast_crop(stores: Sequence[ExpertStore], mapper: Callable, key: str) -> None:
    """Check that the expert saw the images cropped to the breast if training crops to it.

    Args:
        stores: of the expert.
        mapper: of the training images.
        key: of the hook in the config.

    Raises:
        InputError: one crops, the other does not.
    """
    training_crops = crops_to_breast(getattr(mapper, "augmentation", None))
    for store in stores:
        expert_crops = store.settings.preprocessing.get("breast_crop", False)
        if expert_crops != training_crops:
            raise InputError(
                f"expert store {store.folder} is of images {_cropped(expert_crops)}, but training "
                f"sees them {_cropped(training_crops)}: make it "
                f"{'with' if training_crops else 'without'} --breast-crop, or set "
                f"{key}.image_weight to 0"
            )


def _cropped(is_cropped: bool) -> str:
    return "cropped to the breast" if is_cropped else "as they are"


def levels_of_strides(detector: MedMask, strides: Sequence[int], key: str) -> dict[int, int]:
    """Number of a level -> its stride in pixels, for the strides that are asked for.

    Args:
        detector: whose encoder has the levels.
        strides: to find.
        key: of the strides in the config.

    Raises:
        InputError: there is no stride, one twice, or one of no level.
    """
    shapes = detector.backbone.output_shape()
    offered = [int(shapes[name].stride) for name in detector.neck.in_features]
    while len(offered) < detector.transformer.num_levels:
        offered.append(2 * offered[-1])
    if not strides or len(set(strides)) < len(strides) or not set(strides) <= set(offered):
        raise InputError(
            f"{key} is {list(strides)}, but must name some of the encoder's strides, each once: "
            f"{', '.join(map(str, offered))}"
        )
    return {offered.index(stride): stride for stride in strides}
