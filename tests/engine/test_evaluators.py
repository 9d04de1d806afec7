import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator

from medmask.data import register_coco_dataset
from medmask.engine.evaluators import check_annotations, check_best_metric, check_result_names
from medmask.errors import InputError
from medmask.evaluation import AveragePrecisionEvaluator, FROCEvaluator

NAME = "set_of_detectron2s_evaluator"
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25}


@pytest.fixture
def build(tmp_path):
    """Register a set with one annotation, and build an evaluator for it."""

    def register_and_build(evaluator_type, annotation, **options):
        (tmp_path / "1.png").touch()
        content = {
            "images": [{"id": 1, "file_name": "1.png", "width": 9, "height": 9}],
            "annotations": [annotation],
            "categories": [{"id": 1, "name": "malignant"}],
        }
        (tmp_path / "set.json").write_text(json.dumps(content))
        register_coco_dataset(NAME, tmp_path / "set.json", tmp_path)
        return evaluator_type(NAME, **options)

    yield register_and_build
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def test_annotations_that_detectron2_can_use(build):
    check_annotations([build(COCOEvaluator, {**ANNOTATION, "iscrowd": 0}, tasks=("bbox",))])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 0),
        ("iscrowd", None),
        ("area", None),
        ("area", "25"),
        ("area", float("nan")),
    ],
)
def test_annotations_that_it_would_die_of_hours_later(build, field, value):
    annotation = {**ANNOTATION, "iscrowd": 0, field: value}
    with pytest.raises(InputError, match=f"cannot use the {field} .*AveragePrecisionEvaluator"):
        check_annotations([build(COCOEvaluator, annotation, tasks=("bbox",))])


def test_our_own_evaluator_takes_what_the_loader_takes(build):
    evaluator = build(AveragePrecisionEvaluator, {**ANNOTATION, "id": 0, "area": None})
    check_annotations([evaluator])
    check_best_metric("bbox/AP50", [evaluator])
    with pytest.raises(InputError, match="choose one of bbox/AP, bbox/AP50, bbox/AP75"):
        check_best_metric("bbox/AP60", [evaluator])


def test_two_evaluators_whose_results_have_one_name_are_refused(build):
    ours = build(AveragePrecisionEvaluator, {**ANNOTATION, "iscrowd": 0})
    check_result_names([ours, FROCEvaluator(NAME)])
    with pytest.raises(InputError, match=r"holds AverageP\w+ and COCOE\w+, .* bbox/\.\.\.: leave"):
        check_result_names([ours, COCOEvaluator(NAME, tasks=("bbox",))])
