"""The two scanner domains: digitized film, and full-field digital mammography (ffdm).

Both turn the same attenuation into gray values; what differs between them is what a detector that
moves from one hospital to another meets.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from medmask.phantom.film_artifacts import add_dust, lead_attenuation
from medmask.phantom.geometry import Geometry
from medmask.phantom.texture import power_law_fields, smooth_field
from medmask.phantom.tissue import FAT_ATTENUATION


class Scanner(Protocol):
    """Turns attenuation into an image."""

    def scan(
        self,
        attenuation: np.ndarray,
        geometry: Geometry,
        laterality: str,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Expose, develop or process, and digitize.

        Args:
            attenuation: (H, W) in natural-log units, as it lies on the detector.
            geometry: what it shows, mirrored for a right breast.
            laterality: "L" or "R".
            random: draws noise and what varies between exposures.

        Returns:
            (H, W) float32 gray values in [0, 1], dense tissue bright.
        """


@dataclass(frozen=True)
class FilmScanner:
    """Screen-film mammography, digitized.

    The film's optical density is a sigmoid of the log exposure (the characteristic curve of Hurter
    and Driffield), so contrast dies at the breast's edge, where film is burnt black, and in the
    densest tissue.

    Attributes:
        gradient: steepness of the characteristic curve at its middle.
        base_density: optical density of unexposed film.
        top_density: optical density of burnt film.
        grain: standard deviation of the film grain, in optical density.
        blur: of screen and digitizer, standard deviation in millimeters.
    """

    gradient: float = 3.2
    base_density: float = 0.2
    top_density: float = 3.6
    grain: float = 0.035
    blur: float = 0.55

    def scan(
        self,
        attenuation: np.ndarray,
        geometry: Geometry,
        laterality: str,
        random: np.random.Generator,
    ) -> np.ndarray:
        """See :meth:`Scanner.scan`."""
        grid = geometry.grid
        # Automatic exposure control: the denser parts of every breast come out equally gray.
        reference = float(np.percentile(attenuation[geometry.skin_distance > 10], 75))
        log_exposure = (reference - attenuation) / math.log(10) + random.normal(0.02, 0.06)
        log_exposure += 0.03 * smooth_field(grid.shape, grid.pixels(90), random)  # heel effect
        log_exposure -= lead_attenuation(geometry, laterality, random)
        blurred = cv2.GaussianBlur(log_exposure, (0, 0), max(grid.pixels(self.blur), 0.45))

        density = self.optical_density(blurred, random.uniform(0.9, 1.1))
        grain, digitizer = power_law_fields(grid.shape, 0.8, random)
        density += self.grain * (0.7 * grain + 0.3 * digitizer)
        density = add_dust(density, grid, random)
        fog = random.uniform(0.0, 0.25)
        span = self.top_density - self.base_density
        return np.clip((self.top_density + fog - density) / span, 0, 1).astype(np.float32)

    def optical_density(self, log_exposure: np.ndarray, development: float) -> np.ndarray:
        """Apply the characteristic curve.

        Args:
            log_exposure: log10 of the exposure, 0 at the curve's middle.
            development: scales the gradient, about 1.
        """
        span = self.top_density - self.base_density
        steepness = 4 * self.gradient * development / span
        return self.base_density + span / (1 + np.exp(-steepness * log_exposure))


@dataclass(frozen=True)
class FfdmScanner:
    """Full-field digital mammography with a vendor's presentation processing.

    The detector is linear; the vendor takes the logarithm, evens out the thinner rim of the breast
    so that the skin line shows, and applies a gray curve.

    Attributes:
        curve_strength: steepness of the sigmoid gray curve; 0 is a straight line. The
            higher, the fewer shades are left in dense tissue.
        equalization: fraction of the rim's missing thickness that is made up for.
        noise: standard deviation of the quantum noise, in attenuation.
        blur: of detector and processing, standard deviation in millimeters; it decides how much
            sharper than film the tissue looks, and so how hard the step from film is.
        headroom: how far white lies above the densest tissue, as a fraction of the range of the
            tissue.
    """

    curve_strength: float = 0.4
    equalization: float = 0.8
    noise: float = 0.015
    blur: float = 0.45
    headroom: float = 0.1

    def scan(
        self,
        attenuation: np.ndarray,
        geometry: Geometry,
        laterality: str,
        random: np.random.Generator,
    ) -> np.ndarray:
        """See :meth:`Scanner.scan`."""
        grid = geometry.grid
        missing = geometry.breast.compression - geometry.thickness
        flat: np.ndarray = cv2.GaussianBlur(attenuation, (0, 0), grid.pixels(self.blur))
        flat += self.equalization * FAT_ATTENUATION * missing
        flat += self.noise * random.standard_normal(grid.shape, dtype=np.float32)

        inside = flat[geometry.skin_distance > 8]
        low, high = (float(np.percentile(inside, percent)) for percent in (1, 99.9))
        high += self.headroom * (high - low)
        value = np.clip((flat - low) / (high - low), -1.0, 1.2)
        value = self.gray_curve(value, random.normal(0.5, 0.03))
        # Fat is gray: only the bare detector is black.
        shades = self.shades(value, random.uniform(0.08, 0.14))
        return np.clip(shades * geometry.coverage, 0, 1)

    @staticmethod
    def shades(value: np.ndarray, darkest: float) -> np.ndarray:
        """Lift 0 to ``darkest`` and keep 1; what lies below 0 fades out and never gets black."""
        slope = 1 - darkest
        toe = darkest * np.exp(np.minimum(value, 0) * (slope / darkest))
        return np.where(value < 0, toe, darkest + slope * value)

    def gray_curve(self, value: np.ndarray, middle: float) -> np.ndarray:
        """Sigmoid that is steepest at ``middle`` and keeps 0 and 1 in place."""
        if self.curve_strength == 0:
            return value
        steepness = 4 * self.curve_strength

        def sigmoid(v: np.ndarray | float) -> np.ndarray:
            return 1 / (1 + np.exp(-steepness * (v - middle)))

        black, white = float(sigmoid(0.0)), float(sigmoid(1.0))
        return (sigmoid(value) - black) / (white - black)


def make_scanner(domain: str, ffdm_curve_strength: float) -> Scanner:
    """The scanner of a domain, "film" or "ffdm"."""
    if domain == "film":
        return FilmScanner()
    return FfdmScanner(curve_strength=ffdm_curve_strength)
