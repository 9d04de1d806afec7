"""The evaluator of AP against Detectron2's, and against the tool on the files."""

import copy
import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances

from medmask.data import register_coco_dataset
from medmask.evaluation import (
    AveragePrecisionEvaluator,
    EvaluationSettings,
    FROCEvaluator,
    average_precision,
    evaluate_detections,
    read_detections,
    read_ground_truth,
    result_to_json,
)

SIZE = 400


def annotations_file(random: np.random.Generator) -> dict:
    """Twelve images of six patients, two classes, some crowds; two images have one file name."""
    images = [
        {
            "id": 100 - i,
            "file_name": f"{'ab'[i % 2]}/{i // 2}.png",
            "width": SIZE,
            "height": SIZE,
            "patient_id": f"P{i // 2}",
            "laterality": "LR"[i % 2],
        }
        for i in range(12)
    ]
    corners = random.uniform(0, 250, (30, 2))
    boxes = np.hstack([corners, random.uniform(10, 150, (30, 2))]).round(2).tolist()
    annotations = [
        {
            "id": i + 1,
            "image_id": 100 - int(random.integers(12)),
            "category_id": int(random.choice([3, 8])),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(random.random() < 0.1),
        }
        for i, box in enumerate(boxes)
    ]
    categories = [{"id": 8, "name": "mass"}, {"id": 3, "name": "calcification"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def detect(random: np.random.Generator, content: dict) -> dict[int, Instances]:
    """What a detector may find: boxes near the lesions and elsewhere, by image id."""
    found = {}
    for image in content["images"]:
        of_image = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        near = [[*a["bbox"], {3: 0, 8: 1}[a["category_id"]]] for a in of_image for _ in range(3)]
        boxes = np.array(near).reshape(-1, 5)
        boxes[:, :4] += random.normal(0, 6, (len(boxes), 4))
        noise = np.hstack(
            [random.uniform(0, 300, (5, 2)), random.uniform(10, 90, (5, 2)), [[0], [1]] * 2 + [[0]]]
        )
        boxes = np.vstack([boxes, noise])
        boxes[:, 2:4] = boxes[:, 2:4].clip(min=1) + boxes[:, :2]
        tensor = torch.tensor(boxes, dtype=torch.float32)
        found[image["id"]] = Instances(
            (SIZE, SIZE),
            pred_boxes=Boxes(tensor[:, :4]),
            scores=torch.tensor(random.random(len(boxes)), dtype=torch.float32),
            pred_classes=tensor[:, 4].long(),
        )
    return found


@pytest.fixture
def write_and_register(tmp_path, request):
    """Writes an annotation file and its images, and registers the set."""
    name = f"evaluated_{request.node.name}"

    def write(content: dict) -> tuple[str, str]:
        for image in content["images"]:
            path = tmp_path / "images" / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        json_file = tmp_path / "truth.json"
        json_file.write_text(json.dumps(content))
        register_coco_dataset(name, json_file, tmp_path / "images")
        return name, json_file

    yield write
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def run(evaluator, found: dict[int, Instances]) -> dict:
    evaluator.reset()
    for image_id, instances in found.items():
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator.evaluate()


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_detectron2_and_of_the_tool(write_and_register, tmp_path, seed):
    random = np.random.default_rng(seed)
    content = annotations_file(random)
    name, json_file = write_and_register(content)
    found = detect(random, content)
    output = tmp_path / "out"
    froc = run(FROCEvaluator(name, bootstrap=20, output_dir=str(output)), found)["froc"]
    bbox = run(AveragePrecisionEvaluator(name, output_dir=str(output)), found)["bbox"]

    reference = run(COCOEvaluator(name, tasks=("bbox",), use_fast_impl=False), found)["bbox"]
    assert bbox.keys() == reference.keys()
    for key, value in reference.items():
        assert bbox[key] == pytest.approx(value, nan_ok=True), key

    truth = read_ground_truth(json_file)
    for file in ("froc_detections.json", "coco_instances_results.json"):
        detections = read_detections(output / file, truth)
        ap = average_precision(truth, detections)
        assert [100 * ap.ap, 100 * ap.ap50, 100 * ap.ap75] == [
            bbox[key] for key in ("AP", "AP50", "AP75")
        ]
        result = evaluate_detections(truth, detections, EvaluationSettings(bootstrap=20))
        written = json.loads((output / "froc.json").read_text())
        again = json.loads(json.dumps(result_to_json(result)))
        for values in (written, again):  # the file lists the categories in another order
            values["categories"].sort(key=lambda category: category["category_id"])
        assert again == written
        assert froc["R@1"] == 100 * written["sensitivity"][written["fpi"].index(1)]


def test_what_detectron2_cannot_read_gives_the_same_figures(write_and_register):
    random = np.random.default_rng(7)
    content = annotations_file(random)
    found = detect(random, content)
    name, _ = write_and_register(content)
    expected = run(AveragePrecisionEvaluator(name), found)
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)

    odd = copy.deepcopy(content)
    for annotation in odd["annotations"]:
        del annotation["area"], annotation["id"]
        annotation["iscrowd"] = [None, True][annotation["iscrowd"]]
        annotation["image_id"] = float(annotation["image_id"])
    odd["annotations"][0]["id"] = 0
    name, _ = write_and_register(odd)
    assert run(AveragePrecisionEvaluator(name), found) == expected


def test_nothing_found_scores_0_and_writes_an_empty_list(write_and_register, tmp_path):
    content = annotations_file(np.random.default_rng(0))
    name, _ = write_and_register(content)
    nothing = {key: value[:0] for key, value in detect(np.random.default_rng(0), content).items()}
    evaluator = AveragePrecisionEvaluator(name, output_dir=str(tmp_path / "out"))
    assert run(evaluator, nothing)["bbox"]["AP"] == 0
    assert json.loads((tmp_path / "out" / "coco_instances_results.json").read_text()) == []
