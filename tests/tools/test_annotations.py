"""The annotation loop, from images to corrected annotations, as a user runs its tools."""

import json
from pathlib import Path

import pytest
from dicom_phantoms import make_dicom_phantoms
from fresh_runs import write_fresh_run

from medmask.commands.main import main

CONFIG = Path(__file__).parents[2] / "configs" / "medmask" / "phantom" / "source_only.py"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Fresh weights, whose boxes are anywhere."""
    return write_fresh_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    make_dicom_phantoms(root, 2)
    return root / "film" / "images" / "val"


def submit(tasks, threshold):
    """Label Studio's export; the reader keeps what has at least this score."""
    exported = []
    for number, task in enumerate(tasks, start=1):
        (prediction,) = task["predictions"]
        kept = [x for x in prediction["result"] if x["score"] >= threshold]
        annotation = {"id": number, "was_cancelled": False, "result": kept}
        exported.append(task | {"id": number, "annotations": [annotation]})
    return exported


def test_loop(run_tool, checkpoint, images, tmp_path):
    predicted = run_tool(
        "predict.py", images, "--output", tmp_path / "p", "--checkpoint", checkpoint,
        "--device", "cpu", "--no-overlays",
    )  # fmt: skip
    assert predicted.returncode == 0, predicted.stderr
    records = json.loads((tmp_path / "p" / "detections.json").read_text())
    scores = sorted((record["score"] for record in records), reverse=True)
    assert len(scores) > 10

    export = tmp_path / "to_annotate"
    done = run_tool(
        "export_annotations.py", tmp_path / "p", "--output", export, "--max-size", 100,
        "--score-threshold", scores[10],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 images with 11 pre-annotations, 0 images left out" in done.stdout

    tasks = json.loads((export / "for_readers" / "label_studio" / "tasks.json").read_text())
    (tmp_path / "project-1.json").write_text(json.dumps(submit(tasks, scores[4])))
    output = tmp_path / "corrected.json"
    done = run_tool(
        "import_annotations.py", export, tmp_path / "project-1.json", "--output", output
    )
    assert done.returncode == 0, done.stderr
    assert "lesions: 5 kept, 0 changed, 0 added, 6 deleted" in done.stdout
    assert f"{output}, images in {images}" in done.stdout

    done = run_tool("check_dataset.py", "--json", output, "--images", images)
    assert done.returncode == 0, done.stdout
    assert "2 images" in done.stdout
    assert "5 lesions" in done.stdout
    content = json.loads(output.read_text())
    names = {image["id"]: str(images / image["file_name"]) for image in content["images"]}
    found = sorted((names[x["image_id"]], x["bbox"]) for x in content["annotations"])
    wanted = sorted((x["file_name"], x["bbox"]) for x in records if x["score"] >= scores[4])
    for (name, box), (file_name, detected) in zip(found, wanted, strict=True):
        assert name == file_name
        x, y, width, height = detected
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + width, 96), min(y + height, 128)
        assert box == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-9)

    # the same through CVAT, whose second image nobody has looked at
    xml = (export / "for_readers" / "cvat" / "annotations.xml").read_text()
    tagged = xml.replace("</image>", '<tag label="reviewed" source="manual" /></image>', 1)
    (tmp_path / "annotations.xml").write_text(tagged)
    other = tmp_path / "of_cvat.json"
    done = run_tool(
        "import_annotations.py", export, tmp_path / "annotations.xml", "--output", other
    )
    assert done.returncode == 0, done.stderr
    assert "1 image reviewed, 0 of them normal" in done.stdout
    assert "1 image not reviewed" in done.stdout

    # the same from the list of detections alone
    done = run_tool(
        "export_annotations.py", tmp_path / "p" / "detections.json", images,
        "--checkpoint", checkpoint, "--output", tmp_path / "other",
        "--score-threshold", scores[10],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 images with 11 pre-annotations" in done.stdout


@pytest.fixture
def run(capsys):
    """Runs ``medmask COMMAND`` in this process, to save time: status, output and errors."""

    def run_command(*arguments):
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run_command


def test_ranked_by_disagreement_with_mirror_images(run, checkpoint, images, tmp_path):
    common = ("predict", images, "--checkpoint", checkpoint, "--device", "cpu", "--no-overlays")
    for name, options in (("p", ()), ("m", ("--mirrored",))):
        assert run(*common, "--output", tmp_path / name, *options)[0] == 0
    status, _, errors = run(*common, "--output", tmp_path / "m")
    assert status == 2
    assert "mirrored=True" in errors
    status, _, errors = run(
        "export-annotations", tmp_path / "p", "--output", tmp_path / "export",
        "--rank", "disagreement", "--compare-with", tmp_path / "m", "--least-score", 0,
    )  # fmt: skip
    assert status == 0, errors
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    values = [image["uncertainty"] for image in manifest["images"]]
    assert values == sorted(values, reverse=True)
    assert 0 < values[1] <= values[0] <= 1

    status, output, errors = run(
        "export-annotations", tmp_path / "p", "--output", tmp_path / "one",
        "--rank", "entropy", "--patients", "one", "--count", 5,
    )  # fmt: skip
    assert status == 0, errors
    assert "1 image with" in output  # both are of one patient


@pytest.fixture
def data_sets(datasets, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets))
    return datasets


def test_detections_on_a_registered_data_set(run, checkpoint, data_sets, tmp_path):
    """Ids and patients are those of the set; so are the names in what comes back."""
    common = ("--checkpoint", checkpoint, "--dataset", "phantom_film_val")
    status, _, errors = run(
        "predict", *common, "--device", "cpu", "--no-overlays", "--output", tmp_path / "p"
    )
    assert status == 0, errors
    root = data_sets / "phantom" / "film"
    original = json.loads((root / "annotations" / "instances_val.json").read_text())
    wanted = {image["id"]: image["file_name"] for image in original["images"]}
    for predictions, options in (
        (tmp_path / "p", common[2:]),
        (tmp_path / "p" / "detections.json", common),
    ):
        export = tmp_path / predictions.name / "export"
        status, _, errors = run(
            "export-annotations", predictions, *options, "--output", export,
            "--rank", "margin", "--patients", "spread", "--score-threshold", 0,
        )  # fmt: skip
        assert status == 0, errors
        tasks = json.loads((export / "for_readers" / "label_studio" / "tasks.json").read_text())
        (tmp_path / "done.json").write_text(json.dumps(submit(tasks, 1.0)))
        output = tmp_path / "set.json"
        status, _, errors = run(
            "import-annotations", export, tmp_path / "done.json", "--output", output
        )
        assert status == 0, errors
        content = json.loads(output.read_text())
        assert {image["id"]: image["file_name"] for image in content["images"]} == wanted


def test_options(run, images, tmp_path):
    """All that are in no other test here."""
    first, second = sorted(images.iterdir())
    detection = {"file_name": str(first), "category_name": "malignant", "score": 0.9}
    (tmp_path / "detections.json").write_text(json.dumps([detection | {"bbox": [10, 20, 30, 40]}]))
    (tmp_path / "weights.pth").write_bytes(b"weights")
    export = (
        "export-annotations", tmp_path / "detections.json", images,
        "--checkpoint", tmp_path / "weights.pth", "--output", tmp_path / "export",
        "--classes", "malignant", "benign", "--crop-to-breast", "--hang",
        "--allow-burned-in-text",
        "--image-url", "https://host/", "--rank", "random", "--seed", 3,
    )  # fmt: skip
    assert run(*export)[0] == 0
    status, _, errors = run(*export)
    assert status == 2
    assert "--overwrite" in errors
    assert run(*export, "--overwrite")[0] == 0
    shared = tmp_path / "export" / "for_readers"
    task = json.loads((shared / "label_studio" / "tasks.json").read_text())[0]
    assert task["data"]["image"] == f"https://host/images/{task['data']['name']}.png"
    assert '"benign"' in (shared / "cvat" / "labels.json").read_text()

    size = {"width": 96, "height": 128}
    content = {
        "images": [{"id": 7, "file_name": second.name} | size],
        "annotations": [],
        "categories": [{"id": 1, "name": "malignant"}],
    }
    (tmp_path / "original.json").write_text(json.dumps(content))
    status, output, errors = run(
        "import-annotations", tmp_path / "export", shared / "cvat" / "annotations.xml",
        "--output", tmp_path / "merged.json", "--all-reviewed", "--images", images,
        "--classes", "malignant", "benign", "--merge-with", tmp_path / "original.json",
    )  # fmt: skip
    assert status == 0, errors
    assert "2 images reviewed, 1 of them normal; lesions: 1 kept" in output
    merged = json.loads((tmp_path / "merged.json").read_text())
    assert [(x["id"], x["file_name"]) for x in merged["images"]] == [
        (7, second.name),
        (8, first.name),
    ]
    manifest = tmp_path / "export" / "manifest.json"
    before = manifest.read_bytes()
    status, _, errors = run(
        "import-annotations", tmp_path / "export", shared / "cvat" / "annotations.xml",
        "--output", manifest, "--all-reviewed",
    )  # fmt: skip
    assert status == 2
    assert "--output and the manifest of the export are both" in errors
    assert manifest.read_bytes() == before
    (lesion,) = merged["annotations"]
    assert (lesion["image_id"], lesion["bbox"]) == (8, [10, 20, 30, 40])


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("export-annotations", ["absent", "--output", "x"], "does not exist"),
        (
            "export-annotations",
            [".", "--output", "x", "--score-threshold", "2"],
            "score threshold",
        ),
        (
            "export-annotations",
            [".", "--output", "x", "--rank", "disagreement"],
            "need each other",
        ),
        ("import-annotations", ["absent", "a.json", "--output", "/tmp/x.json"], "manifest"),
        ("import-annotations", [".", "a.json", "--output", "x.xml"], "must be a .json file"),
    ],
    ids=["no predictions", "threshold", "nothing to compare", "no export", "suffix"],
)
def test_refusals(run, command, arguments, words):
    status, _, errors = run(command, *arguments)
    assert status == 2
    assert words in errors
    assert errors.count("\n") == 1
