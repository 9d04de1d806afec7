"""Boxes that a viewer lays over the image: a grayscale softcopy presentation state (PS3.3 A.33)."""

import numpy as np
from highdicom import PresentationLUTTransformation, pr
from pydicom import Dataset

from medmask.dicom_results.gray_levels import gray_levels, without_gray_levels
from medmask.dicom_results.identity import ALGORITHM_NAME, NOT_FOR_CLINICAL_USE, Identity
from medmask.dicom_results.predictions import Finding
from medmask.dicom_results.source_image import SourceImage
from medmask.images.dicom.elements import Elements

SERIES_NUMBER = 9103
_LAYER = "DETECTIONS"
_NOTE_BOX = (0.0, 0.97, 1.0, 1.0)  # left, top, right, bottom of the display


def presentation_state(image: SourceImage, number: int, identity: Identity) -> Dataset:
    """Lay the boxes over an image, with probabilities or scores, and a note about the algorithm.

    Gray levels are those of the image's own window.

    Args:
        image: with its findings.
        number: of the object in its series, from 1.
        identity: of the algorithm.

    Raises:
        InputError: the image's window cannot be understood.
    """
    levels = gray_levels(Elements(image.path, image.header))
    header = without_gray_levels(image.header)
    layer = pr.GraphicLayer(_LAYER, order=1, description=f"Detections of {ALGORITHM_NAME}")
    boxes, labels = [], []
    for place, finding in enumerate(image.findings, start=1):
        name = f"{finding.category} {place}"
        uid = identity.finding_uid(image, place)
        boxes.append(
            pr.GraphicObject(
                pr.GraphicTypeValues.POLYLINE,
                _outline(finding.box),
                pr.AnnotationUnitsValues.PIXEL,
                tracking_id=name,
                tracking_uid=uid,
            )
        )
        labels.append(
            pr.TextObject(
                f"{name}: {_in_words(finding)}",
                pr.AnnotationUnitsValues.PIXEL,
                anchor_point=finding.box[:2],
                anchor_point_visible=False,
            )
        )
    note = pr.TextObject(
        f"{ALGORITHM_NAME} {identity.version}, {NOT_FOR_CLINICAL_USE}: "
        f"{image.findings_in_words} at a score from {identity.score_threshold:g} on. "
        f"{identity.meaning_of_scores}",
        pr.AnnotationUnitsValues.DISPLAY,
        bounding_box=_NOTE_BOX,
    )
    shape = "INVERSE" if image.header.PhotometricInterpretation == "MONOCHROME1" else "IDENTITY"
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[header],
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.object_uid("presentation", [image]),
        instance_number=number,
        content_label=_LAYER,
        content_description=f"{ALGORITHM_NAME}, {NOT_FOR_CLINICAL_USE}",
        graphic_layers=[layer],
        graphic_annotations=[
            pr.GraphicAnnotation(
                [header], layer, graphic_objects=boxes, text_objects=[*labels, note]
            )
        ],
        presentation_lut_transformation=PresentationLUTTransformation(shape),
        **identity.keywords("presentation", "presentation states", image.study_uid),
    )
    state.update(levels)
    state.Laterality = image.series_side
    return state


def _in_words(finding: Finding) -> str:
    if finding.probability is None:
        return f"score {finding.score:.2f}"
    return f"probability {finding.probability:.0%}"


def _outline(box: tuple[float, float, float, float]) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
