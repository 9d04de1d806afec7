"""Writing PNG files."""

from pathlib import Path

import cv2
import numpy as np

from medmask.utils.files import atomic_write


def encode_png(image: np.ndarray) -> bytes:
    """Encode an (H, W, 3) RGB or (H, W) gray uint8 image."""
    channels = image if image.ndim == 2 else image[:, :, ::-1]
    return cv2.imencode(".png", np.ascontiguousarray(channels))[1].tobytes()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) RGB or (H, W) gray uint8 image, whole or not at all."""
    with atomic_write(path) as file:
        file.write(encode_png(image))
