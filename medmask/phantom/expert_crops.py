"""Crops of generated phantoms, with captions, for training and testing an expert in miniature."""

from dataclasses import dataclass

import cv2
import numpy as np

from medmask.errors import InputError
from medmask.experts.preprocessing import lesion_crop
from medmask.images import to_rgb
from medmask.phantom.generator import PhantomImage, generate_patient
from medmask.phantom.options import DOMAINS, PhantomParameters
from medmask.utils.progress import with_progress

CAPTIONS = {
    "mass": (
        "malignant mass in the breast",
        "spiculated mass, suspicious for breast cancer",
    ),
    "calcification_cluster": (
        "cluster of suspicious microcalcifications in the breast",
        "malignant calcifications in the breast",
    ),
    "normal": (
        "normal breast tissue",
        "fatty breast tissue without a lesion",
        "dense fibroglandular breast tissue without a lesion",
        "mammogram without a suspicious finding",
    ),
}
"""Finding -> what a report may call it. The phantoms' lesions are annotated; benign findings are
not, so tissue that holds one is "normal", as everything is that needs no biopsy."""

FINDINGS = tuple(CAPTIONS)
NORMAL = FINDINGS.index("normal")

_ATTEMPTS = 50


@dataclass(frozen=True)
class PhantomCrop:
    """A part of a phantom, or all of it.

    Attributes:
        pixels: (h, w, 3) float32 in [0, 255].
        finding: an index of ``FINDINGS``.
    """

    pixels: np.ndarray
    finding: int


@dataclass(frozen=True)
class _Scene:
    pixels: np.ndarray  # (H, W) uint8
    boxes: np.ndarray  # (T, 4) XYXY in pixels
    findings: tuple[int, ...]
    breast: np.ndarray  # (P, 2) int32, (row, column) of the pixels of the breast


class PhantomCrops:
    """Phantoms of both scanner domains, from which crops are drawn.

    Args:
        parameters: of the phantoms.
        split: "train", "val" or "test"; each has patients of its own.
        patients: per domain.
        show_progress: whether to tell how far it is.

    Raises:
        InputError: no phantom has a lesion.
    """

    def __init__(
        self,
        parameters: PhantomParameters,
        split: str,
        patients: int,
        *,
        show_progress: bool = False,
    ) -> None:
        numbers = [(domain, index) for domain in DOMAINS for index in range(patients)]
        self._scenes = [
            _to_scene(image)
            for domain, index in with_progress(
                numbers, f"{split} phantoms", "patient", show_progress=show_progress
            )
            for image in generate_patient(parameters, domain, split, index).images
        ]
        self._lesions = [
            (scene, number) for scene in self._scenes for number in range(len(scene.boxes))
        ]
        if not self._lesions:
            raise InputError(
                f"none of {patients} {split} patients has a lesion: give more patients"
            )

    def draw(self, context: float, random: np.random.Generator) -> PhantomCrop:
        """Draw a crop for training, turned or mirrored at random.

        Four in ten are whole images, three are lesions, three are normal tissue.

        Args:
            context: side of a crop relative to the longer side of its box; it is varied.
            random: decides all.
        """
        kind = random.uniform()
        is_whole = kind < 0.4
        if is_whole:
            crop = self._whole_image(self._scenes[random.integers(len(self._scenes))])
        elif kind < 0.7:
            scene, number = self._lesions[random.integers(len(self._lesions))]
            side = np.ptp(scene.boxes[number].reshape(2, 2), axis=0).max()
            shift = random.uniform(-0.25, 0.25, 2) * side
            box = scene.boxes[number] + np.tile(shift, 2)
            pixels = _crop(scene, box, context * random.uniform(0.8, 1.4))
            crop = PhantomCrop(pixels, scene.findings[number])
        else:
            crop = self._tissue(context * random.uniform(0.8, 1.4), random)
        pixels = crop.pixels if is_whole else np.rot90(crop.pixels, int(random.integers(4)))
        pixels = pixels[:, ::-1] if random.integers(2) else pixels
        return PhantomCrop(pixels * random.uniform(0.85, 1.0), crop.finding)

    def lesions(self, context: float) -> list[PhantomCrop]:
        """Every lesion, cut out as an expert store does."""
        return [
            PhantomCrop(_crop(scene, scene.boxes[number], context), scene.findings[number])
            for scene, number in self._lesions
        ]

    def tissue(self, count: int, context: float, random: np.random.Generator) -> list[PhantomCrop]:
        """Places in the breasts without a malignant lesion, in windows as large as lesions'."""
        return [self._tissue(context, random) for _ in range(count)]

    def whole_images(self) -> list[PhantomCrop]:
        """Every image; its finding is that of its first lesion."""
        return [self._whole_image(scene) for scene in self._scenes]

    def _whole_image(self, scene: _Scene) -> PhantomCrop:
        finding = scene.findings[0] if scene.findings else NORMAL
        return PhantomCrop(to_rgb(scene.pixels).astype(np.float32), finding)

    def _tissue(self, context: float, random: np.random.Generator) -> PhantomCrop:
        for _ in range(_ATTEMPTS):
            scene = self._scenes[random.integers(len(self._scenes))]
            like, number = self._lesions[random.integers(len(self._lesions))]
            half = np.ptp(like.boxes[number].reshape(2, 2), axis=0) / 2
            row, column = scene.breast[random.integers(len(scene.breast))]
            center = np.array([column, row])
            reach = context * half.max()
            box = np.concatenate([center - half, center + half])
            if not _overlaps(np.concatenate([center - reach, center + reach]), scene.boxes):
                return PhantomCrop(_crop(scene, box, context), NORMAL)
        raise RuntimeError(f"no tissue without a lesion was found in {_ATTEMPTS} attempts")


def _to_scene(image: PhantomImage) -> _Scene:
    pixels = image.quantized(8)
    corners = np.array([lesion.box for lesion in image.lesions]).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    # Otsu's threshold parts the breast from the black around it
    _, breast = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    findings = tuple(FINDINGS.index(lesion.lesion_type) for lesion in image.lesions)
    return _Scene(pixels, corners, findings, np.argwhere(breast).astype(np.int32))


def _crop(scene: _Scene, box: np.ndarray, context: float) -> np.ndarray:
    return to_rgb(lesion_crop(scene.pixels, box, context)).astype(np.float32)


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> bool:
    """Tell whether a box touches any of (T, 4) boxes, all XYXY."""
    return bool(np.any((box[:2] < boxes[:, 2:]).all(axis=1) & (boxes[:, :2] < box[2:]).all(axis=1)))
