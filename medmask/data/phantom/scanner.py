"""The two scanners: digitised film and full-field digital mammography."""

from dataclasses import dataclass

import cv2
import numpy as np

from medmask.data.phantom.anatomy import Geometry
from medmask.data.phantom.texture import power_law_fields, smooth_field
from medmask.data.phantom.tissue import FAT_ATTENUATION

DOMAINS = ("film", "ffdm")


@dataclass(frozen=True)
class FilmScanner:
    """Screen-film mammography, digitised."""

    gradient: float = 3.4
    grain: float = 0.012
    blur: float = 0.7

    def scan(
        self, attenuation: np.ndarray, geometry: Geometry, random: np.random.Generator
    ) -> np.ndarray:
        """Attenuation (H, W) to grey values (H, W) float32 in [0, 1]."""
        grid = geometry.grid
        inside = geometry.skin_distance > 12
        reference = np.percentile(attenuation[inside], 60)
        log_exposure = (reference - attenuation) / np.log(10) + random.normal(0, 0.05)
        log_exposure += 0.03 * smooth_field(grid.shape, grid.pixels(90), random)
        log_exposure = cv2.GaussianBlur(log_exposure, (0, 0), max(0.5, grid.pixels(self.blur)))
        grain, _ = power_law_fields(grid.shape, 0.6, random)
        density = 0.2 + 3.4 / (1 + np.exp(-self.gradient * (log_exposure - 0.12)))
        density = density + self.grain * 3.4 * grain
        return np.clip((3.75 - density) / 3.55, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class FfdmScanner:
    """Full-field digital mammography with a vendor's presentation processing."""

    curve_strength: float = 1.0
    equalisation: float = 0.8
    noise: float = 0.008

    def scan(
        self, attenuation: np.ndarray, geometry: Geometry, random: np.random.Generator
    ) -> np.ndarray:
        """Attenuation (H, W) to grey values (H, W) float32 in [0, 1]."""
        grid = geometry.grid
        missing = geometry.breast.compression - geometry.thickness
        flat = attenuation + self.equalisation * FAT_ATTENUATION * missing
        flat = flat + self.noise * random.standard_normal(grid.shape, dtype=np.float32) * 2
        inside = geometry.skin_distance > 6
        low, high = np.percentile(flat[inside], (2, 99.5))
        value = np.clip((flat - low) / (high - low), -0.3, 1.3)
        steep = 4.0 * self.curve_strength
        value = 1 / (1 + np.exp(-steep * (value - 0.5)))
        return np.clip((0.1 + 0.9 * value) * geometry.coverage, 0, 1).astype(np.float32)
