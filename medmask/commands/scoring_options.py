"""The options of commands that score studies and make DICOM objects of the results."""

from medmask.commands.operating_point import add_operating_point_options
from medmask.commands.options import Options, add_device, add_nms_iou
from medmask.commands.weights import add_detector_options
from medmask.dicom_results.options import OBJECTS, ResultOptions


def add_scoring_options(options: Options, *, demo: bool) -> None:
    """Add those of the detector, of its operating point, and ``--objects``.

    Args:
        options: to add to.
        demo: as for :func:`add_detector_options`.
    """
    results = ResultOptions()
    add_detector_options(options, demo=demo)
    add_device(options)
    add_nms_iou(options)
    add_operating_point_options(
        options,
        score_threshold=results.score_threshold,
        shown="detections from this score on are findings",
    )
    options.add_argument(
        "--objects",
        nargs="+",
        choices=OBJECTS,
        default=list(results.objects),
        help="kinds of objects to make of each study (default: all)",
    )
