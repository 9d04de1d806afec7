"""From a patient's number to images and boxes."""

from dataclasses import asdict, dataclass

import numpy as np

from medmask.data.phantom.anatomy import VIEWS, Geometry, draw_breast_pair, view_geometry
from medmask.data.phantom.grid import Grid
from medmask.data.phantom.lesions import MASS, draw_lesion_plan, lesion_density, visible_box
from medmask.data.phantom.scanner import DOMAINS, FfdmScanner, FilmScanner
from medmask.data.phantom.tissue import GLAND_CONTRAST, tissue_attenuation

SPLITS = ("train", "val", "test")
IMAGES_PER_PATIENT = 4
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class PhantomParameters:
    """What decides every pixel and every box."""

    width: int = 192
    height: int = 256
    seed: int = 0
    positive_fraction: float = 0.45
    lesion_contrast: float = 1.0
    ffdm_curve_strength: float = 1.0

    def as_dict(self) -> dict:
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


@dataclass(frozen=True)
class Lesion:
    lesion_type: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class PhantomImage:
    pixels: np.ndarray
    view: str
    laterality: str
    lesions: tuple[Lesion, ...]

    def quantised(self, bits: int) -> np.ndarray:
        """Grey values as integers, uint8 for 8 bits and uint16 above."""
        highest = 2**bits - 1
        return (self.pixels * highest + 0.5).astype(np.uint8 if bits == 8 else np.uint16)


@dataclass(frozen=True)
class Patient:
    patient_id: str
    images: tuple[PhantomImage, ...]


def generate_patient(parameters: PhantomParameters, domain: str, split: str, index: int) -> Patient:
    key = (DOMAINS.index(domain), SPLITS.index(split), index)
    sequence = np.random.SeedSequence(parameters.seed, spawn_key=key)
    random = np.random.default_rng(sequence)
    grid = Grid(parameters.height, parameters.width)
    scanner = FilmScanner() if domain == "film" else FfdmScanner(parameters.ffdm_curve_strength)
    images = []
    for side, (laterality, breast) in enumerate(zip("LR", draw_breast_pair(random), strict=True)):
        geometries = {v: view_geometry(breast, v, grid, random) for v in VIEWS}
        attenuations = {v: tissue_attenuation(geometries[v], random) for v in VIEWS}
        lesions = {v: [] for v in VIEWS}
        if _is_positive(parameters, key, side):
            for _ in range(1 + (random.uniform() < 0.25)):
                plan = draw_lesion_plan(random)
                centres = _place(geometries, plan.reach, random)
                if centres is None:
                    continue
                for v in VIEWS:
                    density = lesion_density(plan, centres[v], grid, random)
                    amount = 14.0 if plan.lesion_type == MASS else 16.0
                    attenuations[v] += (
                        parameters.lesion_contrast * GLAND_CONTRAST * amount * density
                    )
                    lesions[v].append((plan.lesion_type, visible_box(density)))
        for v in VIEWS:
            pixels = scanner.scan(attenuations[v], geometries[v], random)
            found = lesions[v]
            if laterality == "R":
                pixels = np.ascontiguousarray(pixels[:, ::-1])
                found = [(t, (grid.width - b[0] - b[2], *b[1:])) for t, b in found]
            images.append(PhantomImage(pixels, v, laterality, tuple(Lesion(*f) for f in found)))
    return Patient(f"{domain}_{split}_{index:05d}", tuple(images))


def _is_positive(parameters: PhantomParameters, key: tuple[int, int, int], side: int) -> bool:
    offset = np.random.default_rng(
        np.random.SeedSequence(parameters.seed, spawn_key=key[:2])
    ).uniform()
    golden = 0.5 * (np.sqrt(5) - 1)
    return (offset + (2 * key[2] + side) * golden) % 1 < parameters.positive_fraction


def _place(geometries: dict[str, Geometry], reach: float, random: np.random.Generator):
    masks = {}
    for view, g in geometries.items():
        x, y = g.grid.coordinates
        distance = np.hypot(x - g.nipple[0], y - g.nipple[1])
        ok = (g.skin_distance > reach + 4) & (g.muscle_distance > reach)
        ok &= (x > reach) & (y > reach) & (y < g.grid.height_mm - reach)
        masks[view] = (ok, distance)
    ok, distance = masks["CC"]
    for _ in range(50):
        candidates = np.flatnonzero(ok)
        if not len(candidates):
            return None
        first = random.choice(candidates)
        depth = distance.flat[first]
        other = np.flatnonzero(masks["MLO"][0] & (np.abs(masks["MLO"][1] - depth) < 6))
        if len(other):
            second = random.choice(other)
            x, y = geometries["CC"].grid.coordinates
            return {
                "CC": (float(x.flat[first]), float(y.flat[first])),
                "MLO": (float(x.flat[second]), float(y.flat[second])),
            }
    return None
