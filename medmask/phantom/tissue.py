"""The tissue of the breast: fat, fibroglandular tissue, ligaments, vessels, skin and muscle.

The result is the attenuation along each ray, in natural-log units: 0 where nothing is in the way.
"""

import math

import cv2
import numpy as np

from medmask.phantom.geometry import Geometry
from medmask.phantom.strokes import draw_strokes, wandering_path
from medmask.phantom.texture import band_pass_fields, contour_lines, power_law_fields, smooth_field

# Linear attenuation at about 20 keV, per millimeter (Johns and Yaffe, Phys. Med. Biol. 32, 1987).
FAT_ATTENUATION = 0.045
GLAND_ATTENUATION = 0.080
GLAND_CONTRAST = GLAND_ATTENUATION - FAT_ATTENUATION

TEXTURE_BETA = 3.0


def tissue_attenuation(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Draw the tissue of one view.

    Args:
        geometry: the view.
        random: where the numbers come from.

    Returns:
        (H, W) float32, the attenuation of the whole breast; 0 outside.
    """
    texture, second_texture = power_law_fields(geometry.grid.shape, TEXTURE_BETA, random)
    ducts = _along_ducts(second_texture, geometry, 1.8, random)
    gland = _fibroglandular_tissue(geometry, texture, ducts, random)
    septa = _septa(geometry, random)
    fibers = geometry.breast.fibrousness * _fibers(geometry, random)

    fat = 0.09 + 0.05 * texture
    fraction = gland * (1 + 0.09 * fibers) + 0.085 * septa + 0.015 * fibers + fat
    fraction = np.maximum(fraction, 0) * (1 - 0.8 * geometry.muscle)
    if geometry.layout.muscle is not None:
        fraction += geometry.muscle * _muscle_density(geometry, random)
    attenuation = geometry.thickness * (FAT_ATTENUATION + GLAND_CONTRAST * fraction)
    skin = np.exp(-np.square(geometry.skin_distance / 1.6))
    attenuation += GLAND_CONTRAST * (5.0 * skin + 4.0 * _vessels(geometry, random))
    return attenuation * geometry.coverage


def _along_ducts(
    field: np.ndarray, geometry: Geometry, stretch: float, random: np.random.Generator
) -> np.ndarray:
    """Draw out an isotropic field along the ducts, which converge on the nipple.

    Args:
        field: (H, W) isotropic field.
        geometry: the view.
        stretch: how much longer structures become along the ducts than across.
        random: draws how the ducts meander.
    """
    grid = geometry.grid
    distance, angle = geometry.duct_coordinates
    meander = smooth_field(grid.shape, grid.pixels(28), random)
    along = (distance + 5 * meander) * (1 / (stretch * grid.spacing))
    across = (angle + 0.16 * meander) * (60 / grid.spacing) + 0.5 * grid.height
    return cv2.remap(field, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _fibroglandular_tissue(
    geometry: Geometry, texture: np.ndarray, ducts: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Fraction of fibroglandular tissue under each pixel, 0 to about 1."""
    breast, grid = geometry.breast, geometry.grid
    x, y = grid.coordinates
    dx, dy = geometry.nipple[0] - x, y - geometry.nipple[1]

    # The gland is a disc that opens from the nipple and leans to the axilla; fat lies under the
    # skin and before the chest wall.
    reach = breast.depth * breast.gland_reach
    lean, squeeze = random.uniform(0.0, 0.3), random.uniform(0.5, 0.75)
    disc = 1 - np.hypot(
        (dx - 0.52 * reach) / (0.55 * reach), (dy + lean * dx) / (squeeze * breast.half_height)
    )
    under_skin = (geometry.skin_distance - breast.subcutaneous_fat) / 10
    off_muscle = np.minimum(geometry.muscle_distance / 12 - 0.5, 0.8)
    envelope = np.minimum(np.minimum(1.3 * disc, under_skin), off_muscle)
    behind_nipple = np.exp(-(dx * dx + dy * dy) / 14**2)
    envelope = envelope + 0.6 * behind_nipple

    # Fat lobules indent the gland and lie in it: rounded hollows between septa.
    lobules = np.abs(band_pass_fields(grid.shape, grid.pixels(24), random)[0])
    landscape = envelope + 0.4 * texture + 0.35 * ducts - 0.14 * lobules
    # Flood the landscape so that the wanted part of the breast stands out.
    inside = landscape[geometry.skin_distance > 3]
    level = float(np.quantile(inside, 1 - breast.density))
    plateau = 1 / (1 + np.exp(np.clip((level - landscape) / 0.18, -30, 30)))
    amount = 0.34 + 0.2 * breast.density + 0.09 * texture + 0.1 * ducts - 0.04 * lobules
    rim = np.clip(geometry.skin_distance / breast.subcutaneous_fat - 0.3, 0, 1)
    return plateau * np.clip(amount, 0.1, 1.0) * np.maximum(rim, behind_nipple)


def _septa(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Cooper's ligaments: arcs between fat lobules, 0 to about 1."""
    grid = geometry.grid
    septa = np.zeros(grid.shape, np.float32)
    width = max(grid.pixels(0.4), 0.6)
    for wavelength in (19, 32):
        for field in band_pass_fields(grid.shape, grid.pixels(wavelength), random):
            arcs = contour_lines(_along_ducts(field, geometry, 1.4, random), width)
            septa += arcs * np.clip(0.1 + smooth_field(grid.shape, grid.pixels(18), random), 0, 1.2)
    return septa


def _fibers(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Fine fibers along the ducts, mean about 0 and standard deviation about 1.4."""
    straight, wavy = power_law_fields(geometry.grid.shape, 2.0, random)
    return _along_ducts(straight, geometry, 3.0, random) + _along_ducts(wavy, geometry, 2.0, random)


def _vessels(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """A few veins that run from the chest wall towards the nipple, 0 to 1."""
    nipple_x, nipple_y = geometry.nipple
    strokes = []
    for _ in range(random.integers(1, 5)):
        start = (-5.0, nipple_y + random.uniform(-0.8, 0.8) * geometry.breast.half_height)
        end = (nipple_x - random.uniform(8, 40), nipple_y + random.uniform(-25, 25))
        path = wandering_path(np.array(start), np.array(end), 0.06, random)
        strokes.append((path, random.uniform(1.2, 2.2), random.uniform(0.3, 0.8)))
    return draw_strokes(strokes, geometry.grid)


def _muscle_density(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Density of the pectoral muscle relative to gland: smooth, with faint parallel fibers."""
    grid, breast = geometry.grid, geometry.breast
    x, y = grid.coordinates
    slope = math.atan2(breast.muscle_height, breast.muscle_width)
    across = x * math.sin(slope) + (y - geometry.layout.top) * math.cos(slope)
    along = y * math.sin(slope) - x * math.cos(slope)
    fibers, cloud = power_law_fields(grid.shape, 2.4, random)
    fibers = cv2.remap(
        fibers,
        across / grid.spacing,
        along / (5 * grid.spacing),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    # Thicker away from its free edge.
    depth = np.maximum(breast.muscle_height * math.cos(slope) - across, 0)
    body = 1 - np.exp(-depth / 18)
    return random.uniform(0.22, 0.3) + 0.24 * body + 0.04 * fibers + 0.05 * cloud
