"""A picture of an image with the boxes burnt in: a secondary capture (PS3.3 A.8)."""

import textwrap

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from highdicom.sc import SCImage
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from medmask.dicom_results.identity import ALGORITHM_NAME, NOT_FOR_CLINICAL_USE, Identity
from medmask.dicom_results.source_image import SourceImage
from medmask.images import read_image
from medmask.inference.drawing import draw_overlay
from medmask.inference.fonts import font_for

SERIES_NUMBER = 9104
_FONT_SIZE, _LINE, _LETTER, _MARGIN, _INK = 16, 22, 8, 6, (220, 220, 220)
"""Of the note: pixels, but for the color."""
_FEWEST_LETTERS = 20  # on a line, however narrow the image is
_ANY_ORIENTATION = ("A", "F")


def secondary_capture(image: SourceImage, number: int, identity: Identity) -> Dataset:
    """Draw an image with its boxes, their probabilities or scores, and a note about the algorithm.

    Args:
        image: with its findings.
        number: of the object in its series, from 1.
        identity: of the algorithm.

    Returns:
        An RGB image whose sides are those of
        :func:`medmask.inference.drawing.draw_overlay`, and a band below it for the note.

    Raises:
        InputError: the pixels cannot be read.
    """
    capture = SCImage.from_ref_dataset(
        image.header,
        _draw(image, identity),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        series_number=SERIES_NUMBER,
        sop_instance_uid=identity.object_uid("capture", [image]),
        instance_number=number,
        patient_orientation=_ANY_ORIENTATION,  # it has to be one of some; replaced below
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.keywords("capture", "pictures", image.study_uid),
    )
    capture.Laterality = image.series_side
    capture.PatientOrientation = image.header.get("PatientOrientation")
    capture.BurnedInAnnotation = image.header.get("BurnedInAnnotation")
    if not capture.BurnedInAnnotation:  # the drawn boxes tell no patient, but the image may
        del capture.BurnedInAnnotation
    capture.BodyPartExamined = "BREAST"
    capture.DerivationDescription = (
        f"boxes of {ALGORITHM_NAME} {identity.version} drawn in, {NOT_FOR_CLINICAL_USE}"
    )
    source = Dataset()
    source.ReferencedSOPClassUID = image.header.SOPClassUID
    source.ReferencedSOPInstanceUID = image.header.SOPInstanceUID
    capture.SourceImageSequence = [source]
    return capture


def _draw(image: SourceImage, identity: Identity) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    pixels = read_image(image.path)
    names = identity.categories
    boxes = np.array([finding.box for finding in image.findings]).reshape(-1, 4)
    overlay = draw_overlay(
        pixels,
        Instances(
            pixels.shape[:2],
            pred_boxes=Boxes(torch.from_numpy(boxes)),
            scores=torch.tensor([f.score for f in image.findings], dtype=torch.float64),
            pred_classes=torch.tensor([names.index(f.category) for f in image.findings]),
        ),
        names,
        probabilities=_probabilities(image),
    )
    height, width = overlay.shape[:2]
    note = [
        f"{ALGORITHM_NAME} {identity.version}",
        f"{NOT_FOR_CLINICAL_USE}; {image.findings_in_words} at a score from "
        f"{identity.score_threshold:g} on",
    ]
    if identity.calibration is not None:  # what there is to say without one is in the overlay
        letters = max((width - 2 * _MARGIN) // _LETTER, _FEWEST_LETTERS)
        note += textwrap.wrap(identity.calibration, letters)
    canvas = Image.new("RGB", (width, height + _LINE * len(note) + 2 * _MARGIN))
    canvas.paste(Image.fromarray(overlay))
    draw = ImageDraw.Draw(canvas)
    for index, line in enumerate(note):
        position = (_MARGIN, height + _MARGIN + _LINE * index)
        draw.text(position, line, fill=_INK, font=font_for(line, _FONT_SIZE))
    return np.asarray(canvas)


def _probabilities(image: SourceImage) -> np.ndarray | None:
    """Those of the findings; None where scores are not calibrated."""
    values = [finding.probability for finding in image.findings]
    return None if None in values else np.array(values, dtype=np.float64)
