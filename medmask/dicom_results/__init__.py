"""Detections as DICOM objects that a hospital's systems show.

::

    predictions            what `medmask predict` wrote
    source_image, study    the images that were scored, by study
    identity               names, versions and unique identifiers of the objects
    codes                  the standard's codes for findings, sides and views
    measurement_report     structured report, TID 1500
    cad_report, cad_tree   mammography CAD structured report, TID 4000
    gray_levels            window and tables of an image, for its presentation state
    presentation_state     boxes for a viewer to lay over the image
    secondary_capture      a picture with the boxes burnt in
    writing                all of them for all studies
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.dicom_results.predictions import (
        Predictions,
        read_detections_of_images,
        read_predictions,
    )
    from medmask.dicom_results.writing import ResultsSummary, write_results

__all__ = [
    "Predictions",
    "ResultsSummary",
    "read_detections_of_images",
    "read_predictions",
    "write_results",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Predictions": "medmask.dicom_results.predictions",
        "ResultsSummary": "medmask.dicom_results.writing",
        "read_detections_of_images": "medmask.dicom_results.predictions",
        "read_predictions": "medmask.dicom_results.predictions",
        "write_results": "medmask.dicom_results.writing",
    },
)
