"""Geometric augmentation for supervised training, and the fixed resizing for testing.

The training recipe is that of DETR (Carion et al., 2020): a flip, then a resize to one of several
scales, half of the time after zooming into a random part of the image. Scale jitter, vertical flips
and small rotations can be added.
"""

from collections.abc import Sequence

import detectron2.data.transforms as T

from medmask.data.breast import BreastPreprocessing
from medmask.data.pixel_spacing import ResizeToPixelSpacing
from medmask.data.resizing import SmoothResizeShortestEdge
from medmask.errors import InputError


def build_train_augmentation(
    *,
    short_edge_lengths: Sequence[int] = tuple(range(480, 673, 32)),
    max_size: int = 1333,
    flip_probability: float = 0.5,
    crop_probability: float = 0.5,
    crop_short_edge_lengths: Sequence[int] = (400, 500, 600),
    crop_size_range: tuple[int, int] = (256, 600),
    breast_crop: bool = False,
    breast_window: bool = False,
    pixel_spacing_mm: float | None = None,
    scale_range: Sequence[float] = (1.0, 1.0),
    vertical_flip_probability: float = 0.0,
    rotation_degrees: float = 0.0,
) -> T.AugmentationList:
    """Flip, perhaps zoom into a random part, resize, rotate.

    All random choices come from numpy's global generator.

    Args:
        short_edge_lengths: final lengths of the short edge to choose from, in pixels.
        max_size: the longest that the long edge may become in any of the resizes.
        flip_probability: of a horizontal flip.
        crop_probability: of zooming: a resize of the short edge to one of
            ``crop_short_edge_lengths``, then a random crop.
        crop_short_edge_lengths: see above, in pixels.
        crop_size_range: least and greatest height and width of the crop, in pixels, drawn
            independently; an image that is smaller is kept whole in that direction.
        breast_crop: crop to the breast before all else, see :class:`BreastPreprocessing`.
        breast_window: map the gray levels of the breast to [0, 255], likewise.
        pixel_spacing_mm: resize images whose pixel spacing is known to this one, in millimeters, at
            most to ``max_size``, instead of their short edge; see :class:`ResizeToPixelSpacing`. It
            needs ``crop_probability=0``, for zooming would change the spacing.
        scale_range: least and greatest factor on the final lengths, drawn evenly by its logarithm;
            it stands for pixel sizes and breasts other than those of the training images.
        vertical_flip_probability: of a vertical flip.
        rotation_degrees: the image is turned about its center by an angle drawn from
            [-rotation_degrees, rotation_degrees], and grows to hold all of itself. Boxes become the
            least upright boxes around the turned ones, and so too large: keep it small.

    Raises:
        InputError: a probability is not in [0, 1], or a size makes no sense.
    """
    _check_sizes("short_edge_lengths", short_edge_lengths)
    _check_sizes("crop_short_edge_lengths", crop_short_edge_lengths)
    _check_sizes("crop_size_range", crop_size_range)
    if len(crop_size_range) != 2 or crop_size_range[0] > crop_size_range[1]:
        raise InputError(f"crop_size_range is {tuple(crop_size_range)}, not (least, greatest)")
    for name, value in (
        ("flip_probability", flip_probability),
        ("crop_probability", crop_probability),
        ("vertical_flip_probability", vertical_flip_probability),
    ):
        if not 0 <= value <= 1:
            raise InputError(f"{name} is {value}, but a probability lies in [0, 1]")
    if len(scale_range) != 2 or not 0 < scale_range[0] <= scale_range[1]:
        raise InputError(f"scale_range is {tuple(scale_range)}, not (least, greatest) above 0")
    if not 0 <= rotation_degrees <= 180:
        raise InputError(f"rotation_degrees is {rotation_degrees}, but must lie in [0, 180]")
    if pixel_spacing_mm is not None and crop_probability:
        raise InputError(
            f"crop_probability is {crop_probability}, but must be 0 with pixel_spacing_mm: zooming "
            "would change the spacing"
        )
    zoom = T.AugmentationList(
        [
            SmoothResizeShortestEdge(crop_short_edge_lengths, max_size),
            T.RandomCrop("absolute_range", tuple(crop_size_range)),
        ]
    )
    steps = [
        *_preprocessing(breast_crop, breast_window),
        T.RandomFlip(flip_probability, horizontal=True),
        T.RandomApply(zoom, crop_probability),
        _resize(short_edge_lengths, max_size, pixel_spacing_mm, scale_range),
    ]
    # What is off draws no random numbers.
    if vertical_flip_probability:
        steps.append(T.RandomFlip(vertical_flip_probability, horizontal=False, vertical=True))
    if rotation_degrees:
        steps.append(T.RandomRotation([-rotation_degrees, rotation_degrees]))
    return T.AugmentationList(steps)


def build_test_augmentation(
    *,
    short_edge_length: int = 800,
    max_size: int = 1333,
    breast_crop: bool = False,
    breast_window: bool = False,
    pixel_spacing_mm: float | None = None,
) -> T.AugmentationList:
    """Resize the short edge to a fixed length, with the very resizing of training.

    Args:
        short_edge_length: in pixels.
        max_size: the longest that the long edge may become.
        breast_crop: as for :func:`build_train_augmentation`.
        breast_window: likewise.
        pixel_spacing_mm: likewise.

    Raises:
        InputError: a size is not positive.
    """
    _check_sizes("short_edge_length", [short_edge_length])
    resize = _resize([short_edge_length], max_size, pixel_spacing_mm)
    return T.AugmentationList([*_preprocessing(breast_crop, breast_window), resize])


def _preprocessing(breast_crop: bool, breast_window: bool) -> list[T.Augmentation]:
    """List what is done to every image alike, in training and testing, before anything else."""
    if not (breast_crop or breast_window):
        return []
    return [BreastPreprocessing(crop=breast_crop, window=breast_window)]


def _resize(
    lengths: Sequence[int],
    max_size: int,
    pixel_spacing_mm: float | None,
    scale_range: Sequence[float] = (1.0, 1.0),
) -> T.Augmentation:
    """The final resize: to the spacing where it is asked for and known, else of the short edge."""
    resize = SmoothResizeShortestEdge(lengths, max_size, scale_range)
    if pixel_spacing_mm is None:
        return resize
    return ResizeToPixelSpacing(pixel_spacing_mm, max_size, resize, scale_range)


def _check_sizes(name: str, sizes: Sequence[int]) -> None:
    if not sizes or min(sizes) < 1:
        raise InputError(f"{name} is {list(sizes)}, but needs sizes of at least 1 pixel")
