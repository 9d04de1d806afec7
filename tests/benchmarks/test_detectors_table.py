import json
from pathlib import Path

import numpy as np
import pytest
from real_mammograms.cells import NUM_FOLDS, Cell
from real_mammograms.order import Order, detections_file
from real_mammograms.pooling import pool
from real_mammograms.row_notes import row_notes
from real_mammograms.rows import find_rows
from real_mammograms.statistics import METRICS, measure, patient_weights, summarize

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    EvaluationSettings,
    GroundTruth,
    average_precision,
    detections_to_coco,
    evaluate_detections,
    ground_truth_of,
    write_json,
)
from medmask.utils.file_hash import hash_if_there

ROOT = Path(__file__).parents[2]
TOOL = "benchmarks/detectors_table.py"
TRUE_POINTS = (0.3, 0.5, 1.0, 2.0, 4.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def random_set(seed, num_patients=6, first_patient=0):
    """Two images a patient, lesions on half of them, and detections near lesions and elsewhere."""
    random = np.random.default_rng(seed)
    images = 2 * num_patients
    lesions = random.integers(0, images, images // 2)
    corners = random.uniform(0, 60, (len(lesions), 2))
    boxes = np.concatenate([corners, corners + random.uniform(10, 30, (len(lesions), 2))], axis=1)
    near = boxes + random.normal(0, 3, boxes.shape)
    far = random.uniform(0, 60, (20, 2))
    far = np.concatenate([far, far + random.uniform(10, 30, (20, 2))], axis=1)
    where = np.concatenate([lesions, random.integers(0, images, 20)])
    truth = GroundTruth(
        image_ids=tuple(range(images)),
        category_ids=(1,),
        category_names=("lesion",),
        boxes=boxes,
        image_indices=lesions,
        category_indices=np.zeros(len(lesions), dtype=np.int64),
        is_crowd=np.zeros(len(lesions), dtype=bool),
        patients=tuple(f"p{first_patient + i // 2}" for i in range(images)),
        lateralities=tuple("LR"[i % 2] for i in range(images)),
        file_names=tuple(f"{first_patient}_{i}.png" for i in range(images)),
    )
    scores = random.uniform(0, 1, len(where))
    classes = np.zeros(len(where), dtype=np.int64)
    return truth, Detections(np.concatenate([near, far]), scores, where, classes)


def repeated(truth, detections, times):
    """The set in which each patient is as often as ``times`` says, as other patients."""
    parts = []
    for patient, count in enumerate(times):
        for copy in range(count):
            images = np.flatnonzero(truth.patient_groups() == patient)
            new = np.full(truth.num_images, -1)
            new[images] = np.arange(len(images))
            lesions = np.isin(truth.image_indices, images)
            kept = np.isin(detections.image_indices, images)
            part = GroundTruth(
                image_ids=tuple(range(len(images))),
                category_ids=truth.category_ids,
                category_names=truth.category_names,
                boxes=truth.boxes[lesions],
                image_indices=new[truth.image_indices[lesions]],
                category_indices=truth.category_indices[lesions],
                is_crowd=truth.is_crowd[lesions],
                patients=(f"{patient} {copy}",) * len(images),
                lateralities=("L",) * len(images),
            )
            of_patient = detections.select(kept)
            moved = new[of_patient.image_indices]
            parts.append((part, Detections(of_patient.boxes, of_patient.scores, moved, moved * 0)))
    return pool(parts)


def expected(truth, detections):
    settings = EvaluationSettings(operating_points=TRUE_POINTS, bootstrap=0)
    result = evaluate_detections(truth, detections, settings)
    ap50 = average_precision(truth, detections).ap50
    return [*result.sensitivity[:5], result.sensitivity[5:].mean(), ap50, result.images.auc]


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_evaluation_and_resamples_those_of_repeated_patients(seed):
    truth, detections = random_set(seed)
    weights = patient_weights(truth, resamples=4, seed=seed)
    samples = measure(truth, detections, weights)
    assert samples.shape == (5, len(METRICS))
    np.testing.assert_allclose(samples[0], expected(truth, detections), atol=1e-12)
    for row in range(1, 5):
        whole = repeated(truth, detections, weights[row])
        np.testing.assert_allclose(samples[row], expected(*whole), atol=1e-12)


def test_set_without_lesions_or_detections():
    truth, detections = random_set(0)
    nothing = detections.select(np.zeros(len(detections), dtype=bool))
    figures = summarize(measure(truth, nothing, patient_weights(truth, 10, 0)))
    assert figures["R@4"] == (0, 0, 0)
    assert figures["AP50"][0] == 0
    assert figures["image AUC"][0] == 0.5


def test_pooled_folds_rank_all_detections_together():
    parts = [random_set(seed, first_patient=10 * seed) for seed in range(3)]
    truth, detections = pool(parts)
    assert truth.num_images == 36
    assert truth.num_lesions == sum(part.num_lesions for part, _ in parts)
    found = [
        (truth.file_names[image], score)
        for image, score in zip(detections.image_indices, detections.scores, strict=True)
    ]
    assert found == [
        (part.file_names[image], score)
        for part, of_part in parts
        for image, score in zip(of_part.image_indices, of_part.scores, strict=True)
    ]
    with pytest.raises(InputError, match="in several parts"):
        pool([parts[0], parts[0]])


@pytest.fixture
def output(mammogram_trees, tmp_path, monkeypatch):
    """Two methods on two seeds: one finds every lesion, the other one nothing but the corner."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(mammogram_trees))
    cells = [
        Cell("mias2inbreast", method, "imagenet", seed)
        for method in ("medmask", "retinanet")
        for seed in (0, 1)
    ]
    cells += [
        Cell("inbreast_folds", "medmask", "imagenet", 0, fold=fold) for fold in range(NUM_FOLDS)
    ]
    for cell in cells:
        test = "folds" if cell.fold is not None else "heldout"
        order = Order(cell, tmp_path, (test,), minutes=None)
        order.write_record(steps=10, minutes=0.5)
        truth = ground_truth_of(cell.test_set(test))
        write_json(detections_file(order.folder, test), detect(truth, cell.method))
    return tmp_path


def detect(truth, method):
    boxes = truth.boxes if method == "medmask" else np.zeros_like(truth.boxes)
    scores = np.full(len(boxes), 0.9)
    detections = Detections(boxes, scores, truth.image_indices, truth.category_indices)
    return detections_to_coco(truth, detections)


def test_table_and_differences(run_tool, output, tmp_path):
    files = ("--json", tmp_path / "table.json", "--markdown", tmp_path / "table.md")
    options = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap", 50)
    result = run_tool(TOOL, "--output", output, *options, *files)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "table.md").read_text() in result.stdout
    ours, other = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert (ours["method"], other["method"]) == ("medmask", "retinanet")
    assert ours["seeds"] == [0, 1]
    assert ours["figures"]["R@0.3"] == [1, 1, 1]
    assert other["figures"]["R@4"] == [0, 0, 0]
    assert other["differences"]["R@0.5"] == [1, 1, 1]
    assert "| medmask | imagenet | 2 | 0.5 | 10 | 1.000 (1.000 to 1.000) |" in result.stdout
    assert "| retinanet/imagenet | +1.000* (+1.000 to +1.000) |" in result.stdout
    # The seeds agree, but two pairs are too few for a claim unless they are asked for.
    assert "| retinanet/imagenet | 2 | +1.000 ± 0.000, not shown |" in result.stdout
    by_seed = other["seed_differences"]["CPM"]
    assert by_seed == {
        "mean": 1,
        "standard_error": 0,
        "t": None,
        "pairs": 2,
        "verdict": "not shown",
    }
    result = run_tool(TOOL, "--output", output, *options, "--min-pairs", 2)
    assert "| retinanet/imagenet | 2 | +1.000 ± 0.000, better |" in result.stdout


def test_fused_seeds_find_what_one_of_them_finds(run_tool, output):
    write_json(detections_file(output / "mias2inbreast/medmask/imagenet/seed1", "heldout"), [])
    options = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap", 50)
    result = run_tool(TOOL, "--output", output, *options)
    assert "| medmask | imagenet | 2 | 0.5 | 10 | 0.500 (0.500 to 0.500) |" in result.stdout
    result = run_tool(TOOL, "--output", output, *options, "--fuse-seeds")
    assert result.returncode == 0, result.stderr
    assert "test heldout, lesion, seeds fused: " in result.stdout
    assert "| medmask | imagenet | 2 | 0.5 | 10 | 1.000 (1.000 to 1.000) |" in result.stdout
    assert "| retinanet/imagenet | +1.000* (+1.000 to +1.000) |" in result.stdout
    assert "Paired by seed" not in result.stdout


def test_views_of_an_exam_are_a_row_of_their_own(run_tool, output):
    options = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap", 50)
    result = run_tool(TOOL, "--output", output, *options, "--combine-views")
    assert result.returncode == 0, result.stderr
    assert "| medmask+views | imagenet | 2 | 0.5 | 10 | 1.000" in result.stdout
    assert "| medmask+views/imagenet | 2 | +0.000 ± 0.000, not shown |" in result.stdout
    chosen = ("--ours", "medmask+views/imagenet", "--others", "retinanet+views/imagenet")
    result = run_tool(TOOL, "--output", output, *options, "--combine-views", *chosen)
    assert "| retinanet+views/imagenet | +1.000* (+1.000 to +1.000) |" in result.stdout


def test_table_without_resamples_has_no_intervals(run_tool, output):
    options = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap")
    result = run_tool(TOOL, "--output", output, *options, 0)
    assert result.returncode == 0, result.stderr
    assert "| medmask | imagenet | 2 | 0.5 | 10 | 1.000 | 1.000 |" in result.stdout
    assert "| retinanet/imagenet | +1.000 | +1.000 |" in result.stdout
    result = run_tool(TOOL, "--output", output, *options, "-5")
    assert result.returncode == 2
    assert "'-5' is not a whole number from 0 on" in result.stderr


def test_verdict_on_one_pair_is_refused(run_tool, output):
    options = ("--benchmark", "mias2inbreast", "--min-pairs", 1)
    result = run_tool(TOOL, "--output", output, *options)
    assert result.returncode == 2
    assert "'1' is not a whole number from 2 on" in result.stderr


def test_folds_are_pooled_and_must_be_complete(run_tool, output):
    (row,) = find_rows(output, "inbreast_folds", "lesion", "folds")
    truth, _ = row.load([0])
    assert truth.num_images == ground_truth_of("inbreast_lesion_all").num_images
    detections_file(output / row.cells[0][3].name, "folds").unlink()
    result = run_tool(TOOL, "--output", output, "--benchmark", "inbreast_folds")
    assert result.returncode == 2
    assert "has detections of 4 of 5 folds" in result.stderr


def test_what_stages_have_learned_is_told(run_tool, output):
    name = "learning/mae/R2_res5"
    for seed, value in ((0, 0.2), (1, -0.1)):
        cell = Cell("mias2inbreast", "retinanet", "imagenet", seed)
        learned = {name: value, f"{name}_constant": 0.0, f"{name}_beats_constant": float(value > 0)}
        order = Order(cell, output, ("heldout",), minutes=None)
        order.write_record(steps=10, minutes=0.5, learning=learned)
    what = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap", 0)
    figures = output / "figures.json"
    result = run_tool("benchmarks/detectors_table.py", "--output", output, *what, "--json", figures)
    learning = {row["method"]: row["learning"] for row in json.loads(figures.read_text())["rows"]}
    assert learning["medmask"] == {}
    assert learning["retinanet"]["mae/R2_res5"]["num_better"] == 1
    assert "| retinanet/imagenet | mae/R2_res5 | 0.050 | 0.000 | 1 of 2 |" in result.stdout
    assert "| medmask/imagenet | mae" not in result.stdout  # its record does not tell


def test_seeds_of_different_configs_are_told(run_tool, output, tmp_path):
    page = ROOT / "configs/medmask/mias2inbreast/source_only.py"
    for seed, changed in ((0, ()), (1, ("model.nms_iou=null",))):
        config = load_config(str(page), [f"train.seed={seed}", *changed])
        folder = output / f"mias2inbreast/medmask/imagenet/seed{seed}"
        write_config_yaml(config, folder / "config.yaml")
    options = ("--benchmark", "mias2inbreast", "--test", "heldout", "--bootstrap", 0)
    result = run_tool(TOOL, "--output", output, *options, "--json", tmp_path / "table.json")
    sentence = (
        "medmask/imagenet: seed 1 trained with another config than seed 0: "
        "model.nms_iou was 0.5 and is None"
    )
    assert f"Trainings that should not be in one row:\n\n- {sentence}\n" in result.stdout
    assert json.loads((tmp_path / "table.json").read_text())["mixed_configs"] == [sentence]
    result = run_tool(TOOL, "--output", output, *options, "--seeds", 0)
    assert "Trainings that" not in result.stdout


def test_folds_of_different_configs_are_told(output):
    page = ROOT / "configs/medmask/inbreast_folds/source_only.py"
    (row,) = find_rows(output, "inbreast_folds", "lesion", "folds")
    seed = min(row.cells)
    for cell in row.cells[seed]:
        changed = ["model.nms_iou=null"] if cell.fold == 3 else []
        config = load_config(str(page), [f"datasets.fold={cell.fold}", *changed])
        write_config_yaml(config, output / cell.name / "config.yaml")
    assert row_notes(row) == [
        f"{row.name}: fold 3 of seed {seed} trained with another config than fold 0 of seed "
        f"{seed}: model.nms_iou was 0.5 and is None"
    ]


def test_seeds_of_different_budgets_are_told(output):
    rows = find_rows(output, "mias2inbreast", "lesion", "heldout")
    row = next(row for row in rows if row.name == "medmask/imagenet")
    (cell,) = row.cells[1]
    Order(cell, output, ("heldout",), minutes=15).write_record(steps=10, minutes=15.0)
    assert row_notes(row) == [
        "medmask/imagenet: seed 1 trained for 15 minutes, and seed 0 for the steps of the config"
    ]


def test_seeds_of_a_start_that_was_trained_again_are_told(output):
    first, stage = (
        Cell("mias2inbreast", method, "imagenet", 0) for method in ("medmask", "teaching")
    )
    weights = output / first.name / "model_final.pth"
    weights.write_text("first")
    order = Order(stage, output, ("heldout",), minutes=None)
    order.write_record(steps=10, minutes=0.5, start_sha256=hash_if_there(weights))
    detections_file(order.folder, "heldout").parent.mkdir()
    detections_file(order.folder, "heldout").write_text("[]")

    def notes():
        rows = find_rows(output, "mias2inbreast", "lesion", "heldout")
        return [note for row in rows for note in row_notes(row)]

    assert notes() == []
    weights.write_text("trained again")
    assert notes() == [
        "teaching/imagenet: the start of seed 0 was trained again since; delete what started from "
        "it to train that again, too"
    ]
    weights.unlink()
    assert notes() == []


def test_what_was_not_trained_is_named(run_tool, output):
    options = ("--benchmark", "mias2inbreast", "--test", "heldout")
    result = run_tool(TOOL, "--output", output, *options, "--ours", "teaching/imagenet")
    assert result.returncode == 2
    assert "no detections of teaching/imagenet" in result.stderr
    assert "it holds medmask/imagenet, retinanet/imagenet" in result.stderr
