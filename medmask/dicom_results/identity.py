"""Names, versions and unique identifiers of the objects."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom.uid import generate_uid

from medmask.calibration.settings import UNCALIBRATED
from medmask.dicom_results.source_image import SourceImage
from medmask.images.dicom.other_objects import MANUFACTURER
from medmask.version import __version__

ALGORITHM_NAME = MANUFACTURER
NOT_FOR_CLINICAL_USE = "not for clinical use"
CONTENT_QUALIFICATION = "RESEARCH"
"""Content Qualification (0018,9004): the standard's word for "not for clinical use"."""


@dataclass(frozen=True)
class Identity:
    """Values that all objects of a run have in common.

    Identifiers are drawn from what an object is about, not at random: the same images, weights,
    version, threshold, calibration and findings give the same identifiers, so that an archive that
    gets an object twice keeps one.

    Attributes:
        weights: the first digits of the SHA-256 of the weights.
        score_threshold: of the findings.
        made: when the detections were made; objects bear this time.
        categories: names of the classes, whose order gives each its color in pictures.
        calibration: a sentence on what probabilities are calibrated on; None where findings have
            none.
    """

    weights: str
    score_threshold: float
    made: datetime
    categories: tuple[str, ...]
    calibration: str | None = None

    @property
    def version(self) -> str:
        """Version of the package, and what identifies the weights."""
        return f"{__version__}+{self.weights}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Sentences of a report about the algorithm."""
        return (
            f"weights: SHA-256 {self.weights}",
            f"score threshold: {self.score_threshold:g}",
            self.meaning_of_scores,
            NOT_FOR_CLINICAL_USE,
        )

    @property
    def meaning_of_scores(self) -> str:
        """A sentence on the calibration, or that there is none."""
        return self.calibration or UNCALIBRATED

    @property
    def device_uid(self) -> str:
        return self._identifier("device")

    def series_uid(self, kind: str, study_uid: str) -> str:
        """Series Instance UID of a kind of objects in a study."""
        return self._identifier("series", kind, study_uid)

    def object_uid(self, kind: str, images: Iterable[SourceImage]) -> str:
        """SOP Instance UID of an object about some images."""
        colored = self.categories if kind == "capture" else ()
        return self._identifier("object", kind, *map(_describe, images), *colored)

    def finding_uid(self, image: SourceImage, number: int) -> str:
        """Tracking UID of a finding, the same in all objects."""
        return self._identifier("finding", image.uid, _describe(image), str(number))

    def keywords(self, kind: str, title: str, study_uid: str) -> dict[str, Any]:
        """Elements that objects of all kinds have, as highdicom takes them.

        Args:
            kind: of the object, among :data:`medmask.dicom_results.options.OBJECTS`.
            title: of its series.
            study_uid: of its study.
        """
        return {
            "series_instance_uid": self.series_uid(kind, study_uid),
            "series_description": f"{ALGORITHM_NAME} {title} ({NOT_FOR_CLINICAL_USE})",
            "manufacturer": ALGORITHM_NAME,
            "manufacturer_model_name": ALGORITHM_NAME,
            "software_versions": self.version,
            "device_serial_number": self.weights,
            "content_qualification": CONTENT_QUALIFICATION,
        }

    def _identifier(self, *what: str) -> str:
        sources = [ALGORITHM_NAME, self.version, f"{self.score_threshold!r}", *what]
        if self.calibration is not None:
            sources.append(self.calibration)
        return str(generate_uid(entropy_srcs=[json.dumps(sources)]))


def _describe(image: SourceImage) -> str:
    findings = [
        [*x.box, x.score, x.category, *([] if x.probability is None else [x.probability])]
        for x in image.findings
    ]
    return json.dumps([image.uid, findings])
