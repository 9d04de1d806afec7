"""Random fields with the second-order statistics of breast tissue.

The power spectrum of a mammogram falls as 1/f^beta with beta near 3 (Burgess, Jacobson, Judy: Human
observer detection experiments with mammograms and power-law noise, Medical Physics 28, 2001).
"""

import functools
import math

import cv2
import numpy as np
import scipy.fft

_MARGIN = 1.2
"""The fields are drawn on a larger torus and cut, so that opposite image edges do not match."""


def power_law_fields(
    shape: tuple[int, int], beta: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two independent isotropic Gaussian fields of power spectrum 1/f^beta.

    Args:
        shape: (height, width) in pixels.
        beta: the exponent of the radial power spectrum; 0 is white noise.
        random: where the numbers come from.

    Returns:
        Two float32 arrays of that shape. Over the torus that they are cut from, the mean is 0 and
        the standard deviation 1.
    """
    return _filtered_noise(shape, _power_law_response(_torus(shape), beta), random)


def band_pass_fields(
    shape: tuple[int, int], wavelength: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two independent isotropic Gaussian fields about one wavelength, an octave wide.

    Args:
        shape: (height, width) in pixels.
        wavelength: the central wavelength in pixels.
        random: where the numbers come from.

    Returns:
        Two float32 arrays of that shape, mean about 0 and standard deviation about 1.
    """
    return _filtered_noise(shape, _band_pass_response(_torus(shape), wavelength), random)


def _torus(shape: tuple[int, int]) -> tuple[int, int]:
    height, width = (scipy.fft.next_fast_len(math.ceil(side * _MARGIN)) for side in shape)
    return height, width


@functools.lru_cache(maxsize=16)
def _power_law_response(torus: tuple[int, int], beta: float) -> np.ndarray:
    return _normalized(_squared_frequency(torus) ** np.float32(-beta / 4))


@functools.lru_cache(maxsize=16)
def _band_pass_response(torus: tuple[int, int], wavelength: float) -> np.ndarray:
    octaves = 0.5 * np.log2(_squared_frequency(torus) * np.float32(wavelength**2))
    return _normalized(np.exp(-np.square(octaves / 0.5)))


def _squared_frequency(torus: tuple[int, int]) -> np.ndarray:
    """Squared radial frequency in (cycles per pixel)^2; 1 in place of the 0 of the mean."""
    fy, fx = (scipy.fft.fftfreq(side).astype(np.float32) for side in torus)
    squared = np.square(fy)[:, None] + np.square(fx)[None, :]
    squared[0, 0] = 1.0
    return squared


def _normalized(response: np.ndarray) -> np.ndarray:
    """Take out the mean and scale to unit variance of the filtered noise."""
    response[0, 0] = 0.0
    return response / np.float32(np.sqrt(np.sum(np.square(response, dtype=np.float64))))


def _filtered_noise(
    shape: tuple[int, int], response: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Filter white noise; one complex transform yields two fields, its real and imaginary part.

    Args:
        shape: (height, width) to cut from the torus.
        response: amplitude at each frequency of the torus.
        random: where the numbers come from.
    """
    white = random.standard_normal((*response.shape, 2), dtype=np.float32)
    spectrum = white.view(np.complex64)[..., 0] * response
    field = scipy.fft.ifft2(spectrum, norm="forward", overwrite_x=True)[: shape[0], : shape[1]]
    return np.ascontiguousarray(field.real), np.ascontiguousarray(field.imag)


def smooth_field(
    shape: tuple[int, int], correlation: float, random: np.random.Generator
) -> np.ndarray:
    """Draw a smooth field: few normal values, interpolated. Much cheaper than a transform.

    Args:
        shape: (height, width) in pixels.
        correlation: distance in pixels between independent values.
        random: where the numbers come from.

    Returns:
        float32 array of that shape, mean about 0, standard deviation about 0.7.
    """
    rows, columns = (math.ceil(side / correlation) + 2 for side in shape)
    values = random.standard_normal((rows, columns), dtype=np.float32)
    size = (round(columns * correlation), round(rows * correlation))
    enlarged = cv2.resize(values, size, interpolation=cv2.INTER_CUBIC)
    first = int(correlation)
    return np.ascontiguousarray(enlarged[first : first + shape[0], first : first + shape[1]])


def contour_lines(field: np.ndarray, width: float) -> np.ndarray:
    """Thin lines along the zero contour of a smooth field.

    Args:
        field: (H, W) float32.
        width: half width of the lines in pixels.

    Returns:
        (H, W) float32, 1 on the contour, falling as a Gaussian of the distance to it.
    """
    dx = cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    squared_distance = field * field / (dx * dx + dy * dy + 1e-12)
    return np.exp(-np.minimum(squared_distance / width**2, 30.0))
