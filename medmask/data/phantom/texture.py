"""Random fields with the second-order statistics of breast tissue.

The power spectrum of a mammogram falls as 1/f^beta with beta near 3 (Burgess, Jacobson, Judy: Human
observer detection experiments with mammograms and power-law noise, Medical Physics 28, 2001).
"""

import cv2
import numpy as np
import scipy.fft

_MARGIN = 1.2
"""The fields are drawn on a larger torus and cut, so that opposite image edges do not match."""


def power_law_fields(
    shape: tuple[int, int], beta: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two independent isotropic Gaussian fields of power spectrum 1/f^beta.

    One complex transform yields both: its real and its imaginary part.

    Args:
        shape: (height, width) in pixels.
        beta: the exponent of the radial power spectrum; 0 is white noise.
        random: where the numbers come from.

    Returns:
        two float32 arrays of that shape, mean about 0 and standard deviation about 1.
    """
    torus = tuple(scipy.fft.next_fast_len(int(side * _MARGIN)) for side in shape)
    fy = scipy.fft.fftfreq(torus[0]).astype(np.float32)[:, None]
    fx = scipy.fft.fftfreq(torus[1]).astype(np.float32)[None, :]
    squared = fx * fx + fy * fy
    squared[0, 0] = 1.0
    amplitude = squared ** np.float32(-beta / 4)
    amplitude[0, 0] = 0.0
    amplitude /= np.sqrt(np.sum(np.square(amplitude, dtype=np.float64))).astype(np.float32)
    white = random.standard_normal((*torus, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.ifft2(white * amplitude, norm="forward")
    field = field[: shape[0], : shape[1]]
    return np.ascontiguousarray(field.real), np.ascontiguousarray(field.imag)


def smooth_field(
    shape: tuple[int, int], correlation: float, random: np.random.Generator
) -> np.ndarray:
    """Draw a smooth Gaussian field: few random values, interpolated.

    Args:
        shape: (height, width) in pixels.
        correlation: distance in pixels between independent values.
        random: where the numbers come from.

    Returns:
        float32 array of that shape, mean about 0, standard deviation about 0.7.
    """
    rows, columns = (int(np.ceil(side / correlation)) + 2 for side in shape)
    values = random.standard_normal((rows, columns), dtype=np.float32)
    size = (round(columns * correlation), round(rows * correlation))
    enlarged = cv2.resize(values, size, interpolation=cv2.INTER_CUBIC)
    first = int(correlation)
    return np.ascontiguousarray(enlarged[first : first + shape[0], first : first + shape[1]])


def distance_to_contour(field: np.ndarray) -> np.ndarray:
    """First-order distance in pixels of every pixel to the zero contour of ``field``."""
    dx = cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.abs(field) / (np.sqrt(dx * dx + dy * dy) + 1e-6)
