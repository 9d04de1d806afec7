"""Let the views of an exam confirm or deny each other's detections.

A detection gains where the other view of its breast has one at the same depth behind the nipple,
and loses where the other breast has one at the same place. Scores change, boxes do not.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medmask.commands.dataset_config import (
    add_dataset_config,
    annotation_file_of,
    register_datasets_of_config,
)
from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.output_files import check_output_files
from medmask.errors import InputError
from medmask.evaluation.settings import ViewSettings
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from medmask.evaluation import GroundTruth

_EXAMPLES = """
examples:
  Detections of a registered set, and what they find then:
    medmask combine-views --dataset inbreast_val --detections froc_detections.json \\
        --output combined.json
    medmask evaluate --annotations datasets/inbreast/annotations/instances_val.json \\
        --detections combined.json

  A folder of DICOM files, whose headers tell patients, sides and views:
    medmask convert dicom_folder scans --output exams --link
    medmask predict exams/images --output output/predictions
    medmask combine-views --annotations exams/annotations/instances_all.json \\
        --images exams/images --detections output/predictions/detections.json \\
        --output combined.json

Image records tell patient_id, laterality (L, R) and view (CC, MLO). Images with the same
patient_id, and study_date if they have one, are of one exam. An image without these fields, or
alone in its exam, keeps its scores. Boxes of the annotations do not matter. A calibration of the
detector does not fit combined scores.
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = ViewSettings()
    parser = examples_parser(__doc__, _EXAMPLES)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--dataset", metavar="NAME", help="a registered set")
    images.add_argument(
        "--annotations",
        metavar="GT.json",
        help="instead of a registered set: a COCO file, which needs --images",
    )
    parser.add_argument("--images", metavar="DIR", help="the images of that file")
    add_dataset_config(parser)
    parser.add_argument(
        "--detections",
        required=True,
        metavar="DETS.json",
        help="as medmask predict and evaluations write them",
    )
    parser.add_argument("--output", required=True, metavar="OUT.json", help="file to write")
    parser.add_argument(
        "--ipsilateral-weight",
        type=float,
        default=defaults.ipsilateral_weight,
        metavar="W",
        help="of the other views of the same breast, up to 10; 0 leaves them out (default "
        "%(default)s)",
    )
    parser.add_argument(
        "--contralateral-weight",
        type=float,
        default=defaults.contralateral_weight,
        metavar="W",
        help="of the other breast, up to 10; 0 leaves it out (default %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Read the detections, find the breasts, write the changed scores."""
    if (args.annotations is None) != (args.images is None):
        raise InputError("--annotations and --images need each other")
    settings = ViewSettings(
        ipsilateral_weight=args.ipsilateral_weight,
        contralateral_weight=args.contralateral_weight,
    )
    from medmask import evaluation
    from medmask.data.breast import read_breast_frames

    inputs = {f"--detections {args.detections}": args.detections}
    register_datasets_of_config(args.config_file)
    if args.annotations is not None:
        inputs["--annotations"] = args.annotations
    else:
        inputs[f"--dataset {args.dataset}"] = annotation_file_of(args.dataset)
    check_output_files(inputs, {"--output": args.output})
    ground_truth, images = _images(args)
    detections = evaluation.read_detections(args.detections, ground_truth)
    related = evaluation.find_related_views(images)
    needed = [image if related.has_any(index) else None for index, image in enumerate(images)]
    frames = read_breast_frames(needed, show_progress=True)
    combined = evaluation.combine_views(detections, related, frames, settings)
    evaluation.write_json(args.output, evaluation.detections_to_coco(ground_truth, combined))
    count = len(images) - needed.count(None)
    without = frames.count(None) - needed.count(None)
    print(
        f"{args.output}: {counted(len(combined), 'box', 'boxes')}; {count} of "
        f"{counted(len(images), 'image')} with other views, {_count(related.ipsilateral)} with one "
        f"of the same breast and {_count(related.contralateral)} with one of the other"
        + (f"; {without} of them show no breast" if without else "")
    )


def _count(related: Sequence[Sequence[int]]) -> int:
    """Count the images that are related to any."""
    return sum(bool(others) for others in related)


def _images(args: argparse.Namespace) -> "tuple[GroundTruth, list[dict[str, Any]]]":
    """The set that detections name, and the dataset dicts of its images, in its order."""
    from medmask import evaluation

    if args.dataset is None:
        from medmask.data.dataset_dicts import load_coco

        return (
            evaluation.read_ground_truth(args.annotations),
            load_coco(args.annotations, args.images),
        )
    from detectron2.data import DatasetCatalog

    return evaluation.ground_truth_of(args.dataset), DatasetCatalog.get(args.dataset)


main = entry_point(make_parser, run)
