"""Gallery of hits, misses and false positives, as a table to sort."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from medmask.data.dataset_dicts import read_dataset_image
from medmask.errors import InputError
from medmask.evaluation.error_analysis import (
    SINGULAR,
    Finding,
    count_kinds,
    describe_kinds,
    find_errors,
)
from medmask.inference.drawing import resize
from medmask.inference.error_sheets import view_around
from medmask.report.evaluated_run import EvaluatedRun, Unevaluated
from medmask.report.html import Markup, element, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, decimal, missing, note
from medmask.utils.counts import counted
from medmask.utils.progress import with_progress

MOST_BYTES = 8 * 2**20
"""Pictures of a report are no larger together, as they are in its file."""
_VIEW, _WHOLE = 256, 224  # pixels
_JPEG_QUALITY = 82
_MOST_FIELDS = 6
_NO_FIELDS = frozenset({"file_name", "annotations", "image_id", "height", "width"})


@dataclass
class Budget:
    """Bytes of pictures that a page may still take."""

    left: int
    refused: int = 0
    """findings that there was no room for"""

    def take(self, size: int) -> bool:
        """Take room; False, and the finding is counted, if there is not enough."""
        if size > self.left:
            self.refused += 1
            return False
        self.left -= size
        return True


@dataclass(frozen=True)
class _Gallery:
    """Parts that the rows of one run's gallery are made of."""

    run: EvaluatedRun
    fields: tuple[str, ...]
    budget: Budget

    @property
    def has_classes(self) -> bool:
        """True if there are several classes, so that each finding says which one it is of."""
        return len(self.run.ground_truth.category_names) > 1


def gallery_section(
    runs: Sequence[RunFiles],
    evaluated: Sequence[EvaluatedRun | Unevaluated],
    *,
    fpi: float,
    num_each: int,
) -> Section:
    """Pictures of findings of each run.

    Args:
        runs: their files.
        evaluated: their evaluations.
        fpi: false positives per image at which hits and misses are told apart.
        num_each: at most so many of each kind are shown of each run; 0 shows none.
    """
    parts: list[Markup] = []
    budget = Budget(MOST_BYTES)
    for run, each in zip(runs, evaluated, strict=True):
        if len(runs) > 1:
            parts.append(element("h3", run.label))
        if isinstance(each, Unevaluated):
            parts.append(missing(each.reason))
        else:
            parts.append(_gallery(each, run.label, fpi, num_each, budget))
    return Section("Hits, misses and false positives", "gallery", join(parts))


def _gallery(run: EvaluatedRun, label: str, fpi: float, num_each: int, budget: Budget) -> Markup:
    findings = find_errors(run.ground_truth, run.detections, fpi, run.settings)
    counts = count_kinds(findings)
    shown = [
        each
        for kind in ("misses", "false_positives", "hits")
        for each in [finding for finding in findings if finding.kind == kind][:num_each]
    ]
    gallery = _Gallery(run, _fields(run.dataset_dicts), budget)
    rows = [_row(gallery, each) for each in with_progress(shown, f"drawing {label}", "finding")]
    told = [
        f"At {counted(fpi, 'false positive')} per image: {describe_kinds(counts)}. Lesions are "
        "green, false positives orange; the small picture shows where. Scores are as the detector "
        "gives them, no probabilities. "
    ]
    if num_each == 0:
        told.append("No pictures were asked for (--gallery 0).")
    elif any(count > num_each for count in counts.values()):
        told.append(
            f"The first {num_each} of each kind are shown (--gallery): the false positives and "
            "hits of the highest scores; the misses of the highest scores, then the largest."
        )
    if budget.refused:
        told.append(
            f" {budget.refused} more had no room: the pictures of a page are at most "
            f"{MOST_BYTES / 2**20:g} MiB."
        )
    drawn = [row for row in rows if row is not None]
    parts = [note("".join(told))]
    if drawn:
        parts += [_filter(label, counts), _table(gallery, drawn)]
    return element("div", parts, class_="gallery")


def _fields(dataset_dicts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Fields of the image records that are short values, the patient first."""
    names = dict.fromkeys(
        key
        for record in dataset_dicts
        for key, value in record.items()
        if key not in _NO_FIELDS and isinstance(value, bool | int | float | str)
    )
    return tuple(sorted(names, key=lambda name: name != "patient_id")[:_MOST_FIELDS])


def _row(gallery: _Gallery, finding: Finding) -> Markup | None:
    record = gallery.run.dataset_dicts[finding.image]
    try:
        picture = _pictures(gallery, finding)
    except InputError as error:
        picture = missing(str(error))
    if not gallery.budget.take(len(picture)):
        return None
    file_names = gallery.run.ground_truth.file_names or ()
    file_name = (file_names[finding.image] if file_names else None) or str(record["image_id"])
    x0, y0, x1, y1 = finding.box
    side = float(np.sqrt(max(x1 - x0, 0) * max(y1 - y0, 0)))
    kind = SINGULAR[finding.kind]
    class_name = gallery.run.ground_truth.category_names[finding.category]
    cells = [
        element("td", picture, class_="pictures"),
        _cell("kind", element("span", kind, class_=f"kind {finding.kind}"), kind),
        *([_cell("class", class_name, class_name)] if gallery.has_classes else []),
        _cell("score", decimal(finding.score), finding.score, is_number=True),
        _cell("side", f"{side:.0f} px", side, is_number=True),
        _cell("image", file_name, file_name),
        *(_cell(key, _shown(record.get(key)), record.get(key)) for key in gallery.fields),
    ]
    return element("tr", cells, data_kind=finding.kind)


def _cell(label: str, shown: str, value: object, *, is_number: bool = False) -> Markup:
    """A cell; ``value`` is what it is sorted by."""
    kind = "number" if is_number else None
    sort_by = "" if value is None else str(value)
    return element("td", shown, data_sort=sort_by, data_label=label, class_=kind)


def _shown(value: object) -> str:
    return "–" if value is None else str(value)[:60]


def _pictures(gallery: _Gallery, finding: Finding) -> Markup:
    """The surroundings of a finding, and the whole image, with boxes over them."""
    truth = gallery.run.ground_truth
    image = read_dataset_image(gallery.run.dataset_dicts[finding.image])
    height, width = image.shape[:2]
    scale = min(_WHOLE / max(height, width), 1.0)
    whole = resize(image, max(round(height * scale), 1), max(round(width * scale), 1))
    in_image = (truth.image_indices == finding.image) & ~truth.is_crowd
    lesions = truth.boxes[in_image]
    detections = [finding.box] if finding.kind == "false_positives" else []
    view = view_around(image, finding.box, _VIEW)
    size = _VIEW / view.scale
    x, y = view.origin
    name = SINGULAR[finding.kind]
    return element(
        "div",
        _picture(
            _data_uri(view.pixels), f"{name}, enlarged", (x, y, size, size), lesions, detections
        ),
        _picture(
            _data_uri(whole),
            f"{name} in the whole image",
            (0, 0, width, height),
            lesions,
            detections,
        ),
        class_="pair",
    )


def _picture(
    uri: Markup,
    text: str,
    frame: tuple[float, float, float, float],
    lesions: np.ndarray,
    detections: Sequence[Sequence[float]],
) -> Markup:
    """A picture with boxes over it; ``frame`` is its (x, y, width, height) in the boxes' pixels."""
    boxes = [*((box, "lesion") for box in lesions), *((box, "detection") for box in detections)]
    x, y, width, height = frame
    drawn = element(
        "svg",
        [_box(box, kind) for box, kind in boxes],
        viewBox=f"{x:.2f} {y:.2f} {width:.2f} {height:.2f}",
        aria_hidden="true",
    )
    image = element("img", src=uri, alt=text, width=round(_VIEW * min(width / height, 1)))
    return element("span", image, drawn, class_="picture")


def _box(box: Sequence[float], kind: str) -> Markup:
    x0, y0, x1, y1 = (float(side) for side in box)
    return element(
        "rect",
        x=f"{x0:.2f}",
        y=f"{y0:.2f}",
        width=f"{max(x1 - x0, 0):.2f}",
        height=f"{max(y1 - y0, 0):.2f}",
        class_=kind,
    )


def _data_uri(pixels: np.ndarray) -> Markup:
    """A JPEG as an address that holds it; mammograms are gray, which halves it."""
    is_gray = bool((pixels == pixels[..., :1]).all())
    stored = pixels[..., 0] if is_gray else pixels[..., ::-1]
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(stored), quality)[1].tobytes()
    return Markup(f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}")


def _filter(label: str, counts: Mapping[str, int]) -> Markup:
    """Choices of what is shown."""
    choices = [("", "all"), *((kind, kind.replace("_", " ")) for kind in counts)]
    return element(
        "fieldset",
        element("legend", "Show"),
        [
            element(
                "label",
                element("input", type="radio", name=f"show-{label}", value=kind, checked=not kind),
                text,
            )
            for kind, text in choices
        ],
        element("label", element("input", type="checkbox", class_="boxes", checked=True), "boxes"),
        class_="filter",
    )


def _table(gallery: _Gallery, rows: Sequence[Markup]) -> Markup:
    classes = ["class"] if gallery.has_classes else []
    names = ["kind", *classes, "score", "side", "image", *gallery.fields]
    head = [
        element("th", "picture", scope="col"),
        *(
            element(
                "th",
                element("button", name.replace("_", " "), type="button"),
                scope="col",
                aria_sort="none",
            )
            for name in names
        ),
    ]
    table = element(
        "table",
        element("caption", "Sort by a column with its button; again turns the order round."),
        element("thead", element("tr", head)),
        element("tbody", rows),
        class_="sortable",
    )
    return element("div", table, class_="wide")
