"""What the breast is made of: glandular tissue, ligaments, ducts, vessels, skin.

The result is a map of linear attenuation along the ray, in natural-log units per pixel column.
"""

import cv2
import numpy as np

from medmask.data.phantom.anatomy import Geometry
from medmask.data.phantom.texture import distance_to_contour, power_law_fields, smooth_field

# Linear attenuation at about 20 keV, per millimetre (Johns and Yaffe, Phys. Med. Biol. 32, 1987).
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
    gland = _glandular_fraction(geometry, random)
    strands = _strands(geometry, random)
    vessels = _vessels(geometry, random)
    skin = np.exp(-((geometry.skin_distance / 1.8) ** 2)) * geometry.coverage

    fraction = gland + strands * (1 - 0.6 * gland)
    fraction = fraction * (1 - geometry.muscle)
    muscle = geometry.muscle * _muscle_density(geometry, random)
    attenuation = geometry.thickness * (FAT_ATTENUATION + GLAND_CONTRAST * (fraction + muscle))
    attenuation += geometry.coverage * GLAND_ATTENUATION * (2.5 * skin + 2.2 * vessels)
    return attenuation * geometry.coverage


def _radial_coordinates(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Distance (mm) from the nipple and angle (radians) about it, for every pixel."""
    x, y = geometry.grid.coordinates
    dx, dy = geometry.nipple[0] + 6 - x, y - geometry.nipple[1]
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _towards_nipple(
    field: np.ndarray, geometry: Geometry, stretch: float, random: np.random.Generator
) -> np.ndarray:
    """Draw out an isotropic field along the ducts, which converge on the nipple.

    Args:
        field: (H, W) isotropic field.
        geometry: the view.
        stretch: how much longer structures become along the ducts than across.
        random: draws how the ducts meander.
    """
    spacing = geometry.grid.spacing
    distance, angle = _radial_coordinates(geometry)
    meander = smooth_field(field.shape, geometry.grid.pixels(35), random)
    along = (distance + 6 * meander) / (stretch * spacing)
    across = (angle + 0.1 * meander) * 60.0 / spacing
    return cv2.remap(
        field,
        along.astype(np.float32),
        across.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def _glandular_fraction(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Fraction of fibroglandular tissue under each pixel, 0 to 1."""
    breast, grid = geometry.breast, geometry.grid
    isotropic, directed = power_law_fields(grid.shape, TEXTURE_BETA, random)
    directed = _towards_nipple(directed, geometry, 1.7, random)
    texture = 0.6 * isotropic + 0.6 * directed

    x, y = grid.coordinates
    distance, _ = _radial_coordinates(geometry)
    # The glandular disc: behind the nipple, off the skin, off the chest wall.
    centre_x = breast.depth * random.uniform(0.5, 0.62)
    centre_y = geometry.nipple[1] - random.uniform(-4, 16) * (1 if geometry.view == "MLO" else 0.6)
    radius_x = breast.depth * random.uniform(0.42, 0.52)
    radius_y = breast.half_height * random.uniform(0.5, 0.72)
    disc = 1 - np.hypot((x - centre_x) / radius_x, (y - centre_y) / radius_y)
    under_skin = np.minimum((geometry.skin_distance - breast.subcutaneous_fat) / 12, 1)
    duct_cone = np.exp(-((distance / 16) ** 2))
    envelope = np.minimum(disc * 1.6, under_skin) + 0.5 * duct_cone
    off_muscle = np.minimum(geometry.muscle_distance / 14, 1) - 1
    # Density sets where the level cuts the landscape and how high the plateau is.
    level = 0.55 - 1.5 * breast.density
    landscape = envelope + 0.42 * texture + 0.8 * off_muscle - level
    plateau = 1 / (1 + np.exp(np.clip(-landscape / 0.16, -30, 30)))
    amount = (0.35 + 0.45 * breast.density) * (1 + 0.28 * texture)
    fat_texture = 0.05 * (1 + np.clip(isotropic, -1, 2))
    return np.clip(plateau * amount + fat_texture, 0, 1.2).astype(np.float32)


def _strands(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Cooper's ligaments and ducts: thin bright curves, denser towards the gland."""
    grid = geometry.grid
    strands = np.zeros(grid.shape, np.float32)
    for stretch, width_mm, strength in ((1.3, 0.55, 0.2), (2.2, 0.5, 0.18)):
        first, second = power_law_fields(grid.shape, 2.6, random)
        for field in (first, second):
            field = _towards_nipple(field, geometry, stretch, random)
            width = max(grid.pixels(width_mm), 0.6)
            visible = np.clip(smooth_field(grid.shape, grid.pixels(22), random), 0, 1.5)
            line = np.exp(-((distance_to_contour(field) / width) ** 2))
            strands += strength * visible * line * min(1, grid.pixels(width_mm) / 0.6 + 0.2)
    return strands


def _vessels(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """A few veins that run from the chest wall towards the nipple, under the skin."""
    grid = geometry.grid
    canvas = np.zeros((2 * grid.height, 2 * grid.width), np.uint8)
    for _ in range(random.integers(1, 5)):
        points = _wandering_path(geometry, random)
        fixed = np.round((points * (2 / grid.spacing) - 0.5) * 16).astype(np.int32)
        thickness = max(1, round(2 * grid.pixels(random.uniform(0.9, 1.8))))
        layer = np.zeros_like(canvas)
        cv2.polylines(
            layer, [fixed], False, int(random.uniform(60, 150)), thickness, cv2.LINE_AA, 4
        )
        canvas = np.maximum(canvas, layer)
    vessels = cv2.resize(canvas, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(vessels.astype(np.float32) / 255, (0, 0), max(0.4, grid.pixels(0.4)))


def _wandering_path(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """A meandering curve from the chest wall towards the nipple, (N, 2) in millimetres."""
    start = np.array(
        [-5.0, geometry.nipple[1] + random.uniform(-0.8, 0.8) * geometry.breast.half_height]
    )
    end = np.array(geometry.nipple) - [random.uniform(8, 30), random.uniform(-20, 20)]
    at = np.linspace(0, 1, 60)[:, None]
    path = start + at * (end - start)
    across = np.array([-(end - start)[1], (end - start)[0]])
    for order in (1, 2, 3, 5):
        path = path + across * random.normal(0, 0.07 / order) * np.sin(np.pi * order * at)
    return path


def _muscle_density(geometry: Geometry, random: np.random.Generator) -> np.ndarray:
    """Density of the pectoral muscle relative to gland: smooth, with faint parallel fibres."""
    grid, breast = geometry.grid, geometry.breast
    x, y = grid.coordinates
    slope = np.arctan2(breast.muscle_height, breast.muscle_width)
    across = x * np.sin(slope) + y * np.cos(slope)
    along = -x * np.cos(slope) + y * np.sin(slope)
    fibres, _ = power_law_fields(grid.shape, 2.0, random)
    fibres = cv2.remap(
        fibres,
        (across / grid.spacing).astype(np.float32),
        (along / (6 * grid.spacing)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    deep = np.clip(1 - y / breast.muscle_height, 0, 1)
    return (random.uniform(0.55, 0.75) + 0.2 * deep + 0.05 * fibres).astype(np.float32)
