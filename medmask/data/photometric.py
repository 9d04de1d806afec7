"""Photometric augmentation: random changes of gray values and colors that leave geometry alone.

The recipe for strong views of semi-supervised detection (Unbiased Teacher, Liu et al., 2021), which
took it from contrastive learning (MoCo v2, Chen et al., 2020): color jitter, gray, blur. Before
these come the window and the gamma in which scanners and viewers of mammograms differ.
"""

import functools
import math
from collections.abc import Callable, Sequence

import detectron2.data.transforms as T
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import functional as TF

from medmask.errors import InputError

PixelOperation = Callable[[Tensor], Tensor]
"""(C, H, W) -> (C, H, W), float32 in [0, 1]."""


class RandomWindow(T.Augmentation):
    """The image as another window and another gamma show it.

    A gray level v, as a share of 255, becomes ((v - low) / (high - low))^gamma, clipped to [0, 1]
    before the power. Unlike brightness and contrast it keeps black black wherever low is 0.

    Args:
        jitter: ``low`` is drawn from [0, jitter] and ``high`` from [1 - jitter, 1 + jitter].
        gamma_range: least and greatest gamma, drawn evenly by its logarithm.

    Raises:
        InputError: the jitter is not in [0, 0.4], or that is no range of positive numbers.
    """

    def __init__(self, jitter: float, gamma_range: Sequence[float]) -> None:
        super().__init__()
        if not 0 <= jitter <= 0.4:
            raise InputError(f"window_jitter is {jitter}, but must lie in [0, 0.4]")
        _check_range("gamma_range", gamma_range)
        self.jitter = jitter
        self.gamma_range = tuple(gamma_range)

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw both ends of the window, and gamma."""
        low = np.random.uniform(0, self.jitter)
        high = np.random.uniform(1 - self.jitter, 1 + self.jitter)
        gamma = math.exp(np.random.uniform(*np.log(self.gamma_range)))
        return _pixel_transform(functools.partial(_window, low=low, high=high, gamma=gamma))


class RandomColorJitter(T.Augmentation):
    """Brightness, contrast, saturation and hue, each changed at random, in random order.

    Args:
        brightness: factors are drawn from [1 - brightness, 1 + brightness], but not below 0.
        contrast: likewise; the image's mean gray value stays.
        saturation: likewise; 0 gives a gray image.
        hue: shifts are drawn from [-hue, hue] of the color circle; at most 0.5.

    Raises:
        InputError: a strength makes no sense.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float) -> None:
        super().__init__()
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, strength in strengths.items():
            if strength < 0:
                raise InputError(f"{name} is {strength}, but a strength is at least 0")
        if not 0 <= hue <= 0.5:
            raise InputError(f"hue is {hue}, but must lie in [0, 0.5], half the color circle")
        self.strengths = strengths
        self.hue = hue

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw factors, shift and order."""
        operations = [
            functools.partial(
                getattr(TF, f"adjust_{name}"),
                **{f"{name}_factor": np.random.uniform(max(0, 1 - strength), 1 + strength)},
            )
            for name, strength in self.strengths.items()
        ]
        shift = np.random.uniform(-self.hue, self.hue)
        operations.append(functools.partial(TF.adjust_hue, hue_factor=shift))
        order = np.random.permutation(len(operations))
        return _pixel_transform(*(operations[i] for i in order))


class Grayscale(T.Augmentation):
    """Three equal channels: the luminance."""

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Return the transform; nothing is drawn."""
        return _pixel_transform(functools.partial(TF.rgb_to_grayscale, num_output_channels=1))


class RandomGaussianBlur(T.Augmentation):
    """Blur with a Gaussian of random width.

    Args:
        sigma_range: least and greatest standard deviation in pixels.

    Raises:
        InputError: that is no range of positive numbers.
    """

    def __init__(self, sigma_range: Sequence[float]) -> None:
        super().__init__()
        _check_range("blur_sigma_range", sigma_range)
        least, greatest = sigma_range
        self.sigma_range = (least, greatest)

    def get_transform(self, image: np.ndarray) -> T.Transform:
        """Draw the width."""
        sigma = np.random.uniform(*self.sigma_range)
        return _pixel_transform(functools.partial(_gaussian_blur, sigma=sigma))


def build_photometric_augmentation(
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_sigma_range: Sequence[float] = (0.1, 2.0),
    blur_probability: float = 0.5,
    window_jitter: float = 0.0,
    gamma_range: Sequence[float] = (1.0, 1.0),
    window_probability: float = 0.0,
) -> T.AugmentationList:
    """Window and gamma, color jitter, gray, blur, each with its probability.

    Images are (H, W, 3) RGB in [0, 255], uint8 or float32, and stay so. All random choices come
    from numpy's global generator. On gray images (mammograms) only brightness, contrast and blur
    have an effect.

    Args:
        brightness: see :class:`RandomColorJitter`, as for the next three.
        contrast: strength.
        saturation: strength.
        hue: strength.
        jitter_probability: of the color jitter.
        grayscale_probability: of turning gray.
        blur_sigma_range: least and greatest standard deviation in pixels.
        blur_probability: of the blur.
        window_jitter: see :class:`RandomWindow`, as for the next.
        gamma_range: least and greatest gamma.
        window_probability: of another window and gamma.

    Raises:
        InputError: a strength makes no sense, or a probability is not in [0, 1].
    """
    probabilities = {
        "jitter_probability": jitter_probability,
        "grayscale_probability": grayscale_probability,
        "blur_probability": blur_probability,
        "window_probability": window_probability,
    }
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} is {value}, but a probability lies in [0, 1]")
    jitter = RandomColorJitter(brightness, contrast, saturation, hue)
    window = RandomWindow(window_jitter, gamma_range)
    steps = [
        T.RandomApply(jitter, jitter_probability),
        T.RandomApply(Grayscale(), grayscale_probability),
        T.RandomApply(RandomGaussianBlur(blur_sigma_range), blur_probability),
    ]
    if window_probability:  # what is off draws no random numbers
        steps.insert(0, T.RandomApply(window, window_probability))
    return T.AugmentationList(steps)


def change_pixels(image: np.ndarray, photometric: T.Augmentation) -> np.ndarray:
    """A randomly changed copy of an (H, W, 3) image; the image itself is left as it is."""
    augmentation_input = T.AugInput(image)
    photometric(augmentation_input)
    return augmentation_input.image


def _pixel_transform(*operations: PixelOperation) -> T.Transform:
    return T.ColorTransform(functools.partial(_apply, operations=operations))


def _apply(image: np.ndarray, operations: Sequence[PixelOperation]) -> np.ndarray:
    """Run operations on an (H, W, 3) image in [0, 255]; it keeps its type."""
    # One channel of a gray image cannot pick up color by rounding. Full-size mammograms take 0.1 s
    # of a core this way, and 0.9 s with three channels.
    is_gray = bool((image == image[..., :1]).all())
    channels = image[..., :1] if is_gray else image
    planes = torch.from_numpy(channels.transpose(2, 0, 1).astype(np.float32) / 255)
    for operation in operations:
        planes = operation(planes)
    changed = planes.mul(255).permute(1, 2, 0).expand(*image.shape).numpy()
    if image.dtype == np.uint8:
        changed = changed.round()
    return np.ascontiguousarray(changed, dtype=image.dtype)


def _window(planes: Tensor, low: float, high: float, gamma: float) -> Tensor:
    return planes.sub(low).div(high - low).clamp(0, 1).pow(gamma)


def _gaussian_blur(planes: Tensor, sigma: float) -> Tensor:
    """Blur (C, H, W), rows and columns one after the other; the border is mirrored."""
    height, width = planes.shape[-2:]
    radius = math.ceil(3 * sigma)
    columns = 2 * min(radius, width - 1) + 1
    rows = 2 * min(radius, height - 1) + 1
    planes = TF.gaussian_blur(planes, [columns, 1], [sigma, sigma])
    return TF.gaussian_blur(planes, [1, rows], [sigma, sigma])


def _check_range(name: str, values: Sequence[float]) -> None:
    if len(values) != 2 or not 0 < values[0] <= values[1]:
        raise InputError(f"{name} is {tuple(values)}, not (least, greatest) above 0")
