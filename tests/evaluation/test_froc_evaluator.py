"""Detectron2's evaluator; run as a script, this file is one process of the test with two."""

import json
import math
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.evaluation.testing import flatten_results_dict, print_csv_format
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm

from medmask.engine import launch
from medmask.errors import InputError
from medmask.evaluation import (
    EvaluationSettings,
    FROCEvaluator,
    evaluate_detections,
    read_detections,
    read_ground_truth,
)

NUM_IMAGES = 12
DATASET_ID = 7  # of the one category, whose contiguous id is 0


def register(name: str) -> None:
    """A set whose images 0, 3, 6 and 9 have a lesion; four patients."""
    records = []
    for i in range(NUM_IMAGES):
        lesion = {
            "bbox": [10 + i, 20, 30, 40],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": 0,
            "iscrowd": 0,
        }
        records.append(
            {
                "image_id": f"image {i}",
                "height": 200,
                "width": 200,
                "patient_id": i // 3,
                "laterality": "LR"[i % 2],
                "annotations": [lesion] if i % 3 == 0 else [],
            }
        )
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(
        thing_classes=["malignant"], thing_dataset_id_to_contiguous_id={DATASET_ID: 0}
    )


class FakeDetector(torch.nn.Module):
    """Finds every lesion but that of image 9, each image with one false positive more or less."""

    def forward(self, inputs):
        return [{"instances": self.detect(int(record["image_id"].split()[1]))} for record in inputs]

    def detect(self, i: int) -> Instances:
        boxes = [[100.0, 100, 120, 120]] * (i % 2) + [[10.0 + i, 20, 40 + i, 60]] * (i in (0, 3, 6))
        scores = [0.1 + 0.05 * i] * (i % 2) + [0.4 + 0.04 * i] * (i in (0, 3, 6))
        return Instances(
            (200, 200),
            pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)),
            scores=torch.tensor(scores),
            pred_classes=torch.zeros(len(scores), dtype=torch.int64),
        )


def loader(indices) -> list[list[dict]]:
    """Batches of two."""
    inputs = [{"image_id": f"image {i}"} for i in indices]
    return [inputs[start : start + 2] for start in range(0, len(inputs), 2)]


@pytest.fixture
def dataset(request):
    name = f"froc_evaluator_{request.node.name}"
    register(name)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def evaluate(evaluator, indices=range(NUM_IMAGES), model=None):
    return inference_on_dataset(model or FakeDetector(), loader(indices), [evaluator])


def test_results_follow_detectron2s_conventions(dataset, caplog):
    results = evaluate(FROCEvaluator(dataset, bootstrap=20))
    metrics = results["froc"]
    # False positives at .65 .55 .45 .35 .25 .15, hits at .64 .52 .4; 12 images, 4 lesions.
    assert [metrics[f"R@{point}"] for point in (0.05, 0.1, 0.2, 0.3, 4)] == [0, 25, 50, 75, 75]
    assert metrics["image_auc"] == pytest.approx(100 * 27 / 32)
    assert metrics["breast_auc"] == pytest.approx(100 * 15 / 16)
    # At 1/8 per image one false positive is allowed, at 1/4 three, before which all are found.
    assert metrics["CPM"] == pytest.approx((25 + 6 * 75) / 7)
    flat = flatten_results_dict(results)
    assert all(type(value) is float for value in flat.values())
    assert {"froc/R@0.3", "froc/image_auc", "froc/breast_auc", "froc/image_f1"} <= set(flat)
    with caplog.at_level("INFO"):
        print_csv_format(results)
    assert "R@0.025,R@0.05,R@0.1,R@0.2,R@0.3,R@0.5,R@1,R@2,R@4,CPM,image_auc" in caplog.text


def test_written_files_give_the_tools_the_same_result(dataset, tmp_path):
    metrics = evaluate(FROCEvaluator(dataset, bootstrap=20, output_dir=str(tmp_path)))["froc"]
    records = DatasetCatalog.get(dataset)
    truth = {
        "images": [
            {"id": r["image_id"], "patient_id": r["patient_id"], "laterality": r["laterality"]}
            for r in records
        ],
        "categories": [{"id": DATASET_ID, "name": "malignant"}],
        "annotations": [
            {"image_id": r["image_id"], "category_id": DATASET_ID, "bbox": a["bbox"]}
            for r in records
            for a in r["annotations"]
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    ground_truth = read_ground_truth(tmp_path / "truth.json")
    detections = read_detections(tmp_path / "froc_detections.json", ground_truth)
    result = evaluate_detections(ground_truth, detections, EvaluationSettings(bootstrap=20))
    written = json.loads((tmp_path / "froc.json").read_text())
    assert written["sensitivity"] == result.sensitivity.tolist()
    assert written["intervals"] == result.intervals.tolist()
    assert written["image_level"]["auc"] == result.images.auc
    assert metrics["image_auc"] == 100 * result.images.auc
    assert written["cpm"] == result.cpm == metrics["CPM"] / 100
    assert (tmp_path / "froc.png").stat().st_size > 0


def test_writes_nothing_without_an_output_folder(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate(FROCEvaluator(dataset, bootstrap=0))
    assert list(tmp_path.iterdir()) == []


def test_hit_rule_of_the_public_script(dataset):
    """The lesions' range begins at 30 - 40 / 2 = 10 from the top instead of at 20."""

    class Above(FakeDetector):
        def detect(self, i):
            instances = super().detect(i)
            instances.pred_boxes.tensor[:, 1::2] -= 25  # hits from y = 40 to 15
            return instances

    ours = evaluate(FROCEvaluator(dataset, bootstrap=0), model=Above())["froc"]
    rule = {"hit_rule": "published_script", "nms_iou": None}
    published = evaluate(FROCEvaluator(dataset, bootstrap=0, **rule), model=Above())["froc"]
    assert ours["R@4"] == 0
    assert published["R@4"] == 75


def test_reset_forgets_and_no_detections_are_legal(dataset):
    evaluator = FROCEvaluator(dataset, bootstrap=0)
    evaluate(evaluator)

    class Blind(FakeDetector):
        def detect(self, i):
            return super().detect(i)[:0]

    metrics = evaluate(evaluator, model=Blind())["froc"]
    assert metrics["R@4"] == 0
    assert metrics["image_auc"] == 50


def test_images_of_several_processes_count_once(dataset, monkeypatch):
    evaluator = FROCEvaluator(dataset, bootstrap=0)
    expected = evaluate(evaluator)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, dict(list(data.items())[:5])])
    assert evaluate(evaluator) == expected


def test_images_without_prediction_are_an_error(dataset):
    with pytest.raises(InputError, match=r"no prediction of 2 of the 12 images of"):
        evaluate(FROCEvaluator(dataset), indices=range(10))


def test_images_of_another_set_are_an_error(dataset):
    with pytest.raises(InputError, match=r"1 predicted image is not in .*'image 12'"):
        evaluate(FROCEvaluator(dataset), indices=range(NUM_IMAGES + 1))


@pytest.mark.parametrize("field", ["pred_boxes", "scores"])
def test_predictions_that_are_not_finite_are_an_error(dataset, field):
    class Diverged(FakeDetector):
        def detect(self, i):
            instances = super().detect(i)
            values = instances.get(field)
            tensor = values.tensor if field == "pred_boxes" else values
            if i == 5:
                tensor[0] = math.nan
            return instances

    with pytest.raises(InputError, match="not finite, first on image 'image 5'"):
        evaluate(FROCEvaluator(dataset), model=Diverged())


def test_a_class_that_the_set_does_not_have_is_an_error(dataset):
    class OtherClasses(FakeDetector):
        def detect(self, i):
            instances = super().detect(i)
            instances.pred_classes += 3
            return instances

    with pytest.raises(InputError, match=r"class 3, but .* has 1 class,"):
        evaluate(FROCEvaluator(dataset), model=OtherClasses())


def test_repeated_image_ids_are_an_error(dataset):
    records = DatasetCatalog.get(dataset)
    records[1]["image_id"] = records[0]["image_id"]
    with pytest.raises(InputError, match="same image_id"):
        FROCEvaluator(dataset)


def test_two_processes_give_the_result_of_one(dataset, tmp_path, run_in_two_processes):
    expected = evaluate(FROCEvaluator(dataset, bootstrap=20))
    run_in_two_processes(__file__, str(tmp_path))
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert results == [expected, {}]


def run_as_one_of_two_processes(args: Namespace) -> None:
    rank = comm.get_rank()
    register("two_processes")
    evaluator = FROCEvaluator("two_processes", bootstrap=20)
    indices = (range(8), range(6, NUM_IMAGES))[rank]  # both see images 6 and 7
    (args.folder / f"{rank}.json").write_text(json.dumps(evaluate(evaluator, indices)))


if __name__ == "__main__":
    launch(run_as_one_of_two_processes, Namespace(folder=Path(sys.argv[1])))
