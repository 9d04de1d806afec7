"""A page of phantoms of both domains, plain and with the lesions outlined, to judge them by eye."""

from pathlib import Path

import cv2
import numpy as np

from medmask.errors import InputError
from medmask.phantom.generator import PhantomImage, generate_patient
from medmask.phantom.lesions import CALCIFICATION_CLUSTER, MASS
from medmask.phantom.options import DOMAINS, PhantomParameters
from medmask.utils.files import atomic_write

_TILE_HEIGHT = 288
_GAP = 6
_CAPTION_HEIGHT = 30
_JPEG_QUALITY = 88
_BACKGROUND, _INK = 32, (225, 225, 225)
_COLORS = {MASS: (60, 190, 255), CALCIFICATION_CLUSTER: (120, 230, 120)}  # blue, green, red

_CAPTIONS = {"film": "film: digitized screen-film", "ffdm": "ffdm: full-field digital"}


def draw_contact_sheet(parameters: PhantomParameters, rows: int = 4) -> np.ndarray:
    """Draw the CC and MLO views of breasts of both domains, each breast once more outlined.

    Breasts with malignant lesions come first.

    Args:
        parameters: of the phantoms; training patients are shown.
        rows: breasts per domain.

    Returns:
        (H, W, 3) uint8, blue-green-red.
    """
    blocks = [_domain_block(parameters, domain, rows) for domain in DOMAINS]
    gap = np.full((blocks[0].shape[0], 3 * _GAP, 3), _BACKGROUND, np.uint8)
    sheet = np.concatenate([blocks[0], gap, *blocks[1:]], axis=1)
    legend = _caption("malignant, annotated:", sheet.shape[1])
    x = 220
    for lesion_type, color in _COLORS.items():
        cv2.rectangle(legend, (x, 9), (x + 14, 22), color, 1)
        name = lesion_type.replace("_", " ")
        _write(legend, name, (x + 22, 21))
        x += 40 + 10 * len(name)
    return np.concatenate([sheet, legend], axis=0)


def check_contact_sheet(path: str | Path) -> None:
    """Check the name of a contact sheet.

    Raises:
        InputError: it ends in neither .png nor .jpg.
    """
    if Path(path).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"contact sheet {path}: let the name end in .png or .jpg")


def write_contact_sheet(path: str | Path, parameters: PhantomParameters, rows: int = 4) -> None:
    """Write :func:`draw_contact_sheet` as a PNG or JPEG file.

    Raises:
        InputError: the file's name ends in neither .png nor .jpg.
    """
    check_contact_sheet(path)
    path = Path(path)
    sheet = draw_contact_sheet(parameters, rows)
    is_png = path.suffix.lower() == ".png"
    options = [] if is_png else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(path.suffix, sheet, options)
    with atomic_write(path) as file:
        file.write(data.tobytes())


def _domain_block(parameters: PhantomParameters, domain: str, rows: int) -> np.ndarray:
    lines = []
    for pair in _choose_breasts(parameters, domain, rows):
        tiles = [_tile(image, outlined) for outlined in (False, True) for image in pair]
        lines.append(np.concatenate(tiles, axis=1))
    caption = _caption(_CAPTIONS[domain], lines[0].shape[1])
    return np.concatenate([caption, *lines], axis=0)


def _choose_breasts(
    parameters: PhantomParameters, domain: str, rows: int
) -> list[tuple[PhantomImage, PhantomImage]]:
    """CC and MLO view of one breast of each patient, breasts with lesions first."""
    breasts = []
    for index in range(2 * rows):
        images = generate_patient(parameters, domain, "train", index).images
        cc, mlo = max(images[:2], images[2:], key=lambda pair: len(pair[0].lesions))
        breasts.append((cc, mlo))
    breasts.sort(key=lambda pair: -len(pair[0].lesions))  # stable
    return breasts[:rows]


def _tile(image: PhantomImage, outlined: bool) -> np.ndarray:
    gray = image.quantized(8)
    scale = _TILE_HEIGHT / gray.shape[0]
    shrinks = scale < 1
    size = (max(round(gray.shape[1] * scale), 1), _TILE_HEIGHT)
    gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    tile = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    for lesion in image.lesions if outlined else ():
        x, y, width, height = (value * scale for value in lesion.box)
        first = round(x) - 2, round(y) - 2
        last = round(x + width) + 1, round(y + height) + 1
        cv2.rectangle(tile, first, last, _COLORS[lesion.lesion_type], 1)
    return cv2.copyMakeBorder(tile, 0, _GAP, 0, _GAP, cv2.BORDER_CONSTANT, value=[_BACKGROUND] * 3)


def _caption(text: str, width: int) -> np.ndarray:
    band = np.full((_CAPTION_HEIGHT, width, 3), _BACKGROUND, np.uint8)
    _write(band, text, (8, 21))
    return band


def _write(image: np.ndarray, text: str, position: tuple[int, int]) -> None:
    cv2.putText(image, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
