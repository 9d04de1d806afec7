"""The annotation loop, from images to corrected annotations, as a user runs its tools."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from medmask.config import load_config
from medmask.phantom import PhantomParameters, make_phantom_dataset

CONFIG = Path(__file__).parents[2] / "configs" / "medmask" / "phantom" / "source_only.py"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Fresh weights, whose boxes are anywhere."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config(str(CONFIG))
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, folder / "model.pth")
    LazyConfig.save(config, str(folder / "config.yaml"))
    return folder / "model.pth"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    make_phantom_dataset(
        root,
        PhantomParameters(width=96, height=128),
        split_sizes={"val": 2},
        domains=["film"],
        file_format="dicom",
    )
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
    assert "1 images reviewed, 0 of them normal" in done.stdout
    assert "1 images not reviewed" in done.stdout

    # the same from the list of detections alone
    done = run_tool(
        "export_annotations.py", tmp_path / "p" / "detections.json", images,
        "--checkpoint", checkpoint, "--output", tmp_path / "other",
        "--score-threshold", scores[10],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 images with 11 pre-annotations" in done.stdout


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("export_annotations.py", ["absent", "--output", "x"], "does not exist"),
        (
            "export_annotations.py",
            [".", "--output", "x", "--score-threshold", "2"],
            "score threshold",
        ),
        ("import_annotations.py", ["absent", "a.json", "--output", "/tmp/x.json"], "manifest"),
        ("import_annotations.py", [".", "a.json", "--output", "x.xml"], "must be a .json file"),
    ],
    ids=["no predictions", "threshold", "no export", "suffix"],
)
def test_refusals(run_tool, tool, arguments, words):
    done = run_tool(tool, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
