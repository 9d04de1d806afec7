"""The annotation loop: predictions to annotation tools, and corrected annotations back.

::

    options, exporting      pictures and pre-annotations for readers
    ranking, uncertainty, patients
                            which images they see, and in which order
    shown_image, pixel_map  a picture of 8 bits, and the way back to stored pixels
    hanging                 turned and mirrored as readers hang it
    manifest                what was exported
    label_studio, cvat      pre-annotations for the tools
    reading                 files of annotations
    label_studio_reading, cvat_reading, cvat_coco_reading
    reader_annotations      what readers have drawn, whatever the tool
    shapes, overlaps        boxes and polygons
    corrections             what they made of the pre-annotations
    coco_set, importing     a COCO set of the images that were reviewed
    merging                 the same within the set that they are of
"""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.annotation.exporting import ExportSummary, export_annotations
    from medmask.annotation.importing import ImportSummary, import_annotations
    from medmask.annotation.options import ExportOptions

__all__ = [
    "ExportOptions",
    "ExportSummary",
    "ImportSummary",
    "export_annotations",
    "import_annotations",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ExportOptions": "medmask.annotation.options",
        "ExportSummary": "medmask.annotation.exporting",
        "ImportSummary": "medmask.annotation.importing",
        "export_annotations": "medmask.annotation.exporting",
        "import_annotations": "medmask.annotation.importing",
    },
)
