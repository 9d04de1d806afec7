"""Findings of an INbreast image: an XML property list of regions that were drawn with OsiriX."""

import math
import plistlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medmask.converters.regions import has_area
from medmask.errors import InputError

_CALCIFICATION = "calcification"
_MARK = "mark"
_KINDS = {
    "mass": "mass",
    "cluster": "calcification cluster",
    "spiculated region": "spiculated region",
    "espiculated region": "spiculated region",
    "distortion": "architectural distortion",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "calcification": _CALCIFICATION,
    "calcifications": _CALCIFICATION,
    "unnamed": "unnamed",
    "": "unnamed",
}
_NUMBERED_POINT = re.compile(r"point \d+")  # OsiriX's own name for a mark
_POINT = re.compile(r"\(\s*(-?[0-9.]+(?:e[-+]?\d+)?)\s*,\s*(-?[0-9.]+(?:e[-+]?\d+)?)\s*\)")
_LARGEST = 64 * 2**20  # bytes
_MOST_INSIDE = 0.8  # share of a box in another one from which it is part of that


@dataclass
class Findings:
    """The findings of an image.

    Attributes:
        lesions: (kind, (N, 2) outline in pixels) of each lesion that is part of no other.
        without_outline: kinds of lesions that are marked by less than three points.
        calcifications: number of single calcifications.
    """

    lesions: list[tuple[str, np.ndarray]] = field(default_factory=list)
    without_outline: list[str] = field(default_factory=list)
    calcifications: int = 0


def read_findings(path: Path) -> Findings:
    """Read the XML file of an image.

    Raises:
        InputError: it is no such file, or a region has an unknown name or points.
    """
    findings = Findings()
    try:
        for roi in _read_rois(path):
            kind = _kind(roi.get("Name", ""))
            points = _points(roi)
            if kind == _CALCIFICATION:
                findings.calcifications += 1
            elif has_area(points):
                findings.lesions.append((kind, points))
            elif kind not in (_MARK, "unnamed"):
                findings.without_outline.append(kind)
    except InputError:  # which is a ValueError
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no file of INbreast's findings ({error}); copy it again"
        ) from None
    findings.lesions = _outermost(findings.lesions)
    return findings


def _read_rois(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        with path.open("rb") as file:
            content = plistlib.load(file, fmt=plistlib.FMT_XML)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # of the XML parser, too
        raise ValueError(str(error) or type(error).__name__) from None
    return [roi for image in content["Images"] for roi in image["ROIs"]]


def _kind(name: str) -> str:
    """Tell what a region shows by its name, whatever its case and spelling."""
    name = " ".join(name.lower().split())
    if _NUMBERED_POINT.fullmatch(name):
        return _MARK
    if name not in _KINDS:
        raise ValueError(f"the region {name!r} is none of {', '.join(filter(None, _KINDS))}")
    return _KINDS[name]


def _points(roi: dict[str, Any]) -> np.ndarray:
    """(N, 2) x, y in pixels."""
    points = []
    for text in roi["Point_px"]:
        match = _POINT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"the point {text[:40]!r} is not (x, y)")
        point = float(match[1]), float(match[2])
        if not all(map(math.isfinite, point)):
            raise ValueError(f"the point {text[:40]!r} is beyond all numbers")
        points.append(point)
    return np.array(points, np.float64).reshape(-1, 2)


def _outermost(lesions: list[tuple[str, np.ndarray]]) -> list[tuple[str, np.ndarray]]:
    """Lesions without those that are part of a larger one; of equal ones the first stays."""
    boxes = [np.concatenate([o.min(axis=0), o.max(axis=0)]) for _, o in lesions]
    order = sorted(range(len(boxes)), key=lambda i: -_area(boxes[i]))
    kept: list[int] = []
    for i in order:
        if not any(_share_inside(boxes[i], boxes[k]) > _MOST_INSIDE for k in kept):
            kept.append(i)
    return [lesions[i] for i in sorted(kept)]


def _area(box: np.ndarray) -> float:
    return float(np.prod((box[2:] - box[:2]).clip(min=0)))


def _share_inside(box: np.ndarray, other: np.ndarray) -> float:
    overlap = np.concatenate([np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])])
    return _area(overlap) / _area(box)
