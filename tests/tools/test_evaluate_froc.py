import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "evaluate_froc.py"
FILES = ("--annotations", "truth.json", "--detections", "detections.json")
TRUTH = {
    "images": [{"id": i, "patient_id": i // 2, "laterality": "LR"[i % 2]} for i in range(10)],
    "categories": [{"id": 1, "name": "malignant"}],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [10, 10, 20, 20]},
        {"id": 2, "image_id": 4, "category_id": 1, "bbox": [50, 50, 20, 20]},
    ],
}
# Three false positives outscore the second hit: at 0.3 per image on 10 images they are allowed.
DETECTIONS = [
    {"image_id": 0, "category_id": 1, "bbox": [12, 10, 20, 20], "score": 0.9},
    {"image_id": 0, "category_id": 1, "bbox": [12, 12, 20, 20], "score": 0.85},
    {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.8},
    {"image_id": 2, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.7},
    {"image_id": 3, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.6},
    {"image_id": 4, "category_id": 1, "bbox": [50, 50, 20, 20], "score": 0.5},
]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the tool's input files into the current directory, an empty one."""
    monkeypatch.chdir(tmp_path)

    def write_files(truth=TRUTH, detections=DETECTIONS) -> None:
        for name, content in {"truth.json": truth, "detections.json": detections}.items():
            Path(name).write_text(content if isinstance(content, str) else json.dumps(content))

    return write_files


@pytest.fixture
def run_main(monkeypatch):
    """Run the tool in this process, which has torch at hand already: returns its exit status."""

    def run(*options: str) -> int:
        spec = importlib.util.spec_from_file_location("evaluate_froc", TOOL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(TOOL), *FILES, *options])
        with pytest.raises(SystemExit) as exit_:
            module.main()
        return exit_.value.code

    return run


def test_as_a_user_runs_it(write):
    write()
    options = ("--json", "out/froc.json", "--plot", "out/froc.png", "--bootstrap", "50")
    done = subprocess.run(
        [sys.executable, TOOL, *FILES, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "10 images of 5 patients, 2 lesions in 2 images, 5 detections (6 before" in done.stdout
    content = json.loads(Path("out/froc.json").read_text())
    assert content["fpi"] == [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 4]
    assert content["sensitivity"] == [0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1, 1]
    assert len(content["intervals"]) == 9
    assert all(low <= high for low, high in content["intervals"])
    assert content["counts"]["lesions"] == 2
    assert content["settings"]["nms_iou"] == 0.1
    assert content["average_precision"]["ap50"] > 0
    assert Path("out/froc.png").read_bytes().startswith(b"\x89PNG")


def test_reader_that_goes_away_loses_no_file(write, run_main, monkeypatch):
    write()
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1) as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert run_main("--bootstrap", "0", "--json", "froc.json", "--plot", "froc.png") == 141
    assert json.loads(Path("froc.json").read_text())["cpm"] > 0
    assert Path("froc.png").stat().st_size > 0


def test_options_reach_the_evaluation(write, run_main):
    write()
    options = ("--nms-iou", "none", "--bootstrap", "0", "--iou", "0.95", "--score", "0.65")
    assert run_main(*options, "--json", "froc.json") == 0
    content = json.loads(Path("froc.json").read_text())
    assert content["settings"]["nms_iou"] is None
    assert content["intervals"] is None
    assert content["counts"]["detections_after_nms"] == 6
    assert content["sensitivity"][-1] == 0.5  # the hit on image 0 overlaps by less than 0.95
    assert content["image_level"]["at_score"]["score"] == 0.65


def test_hit_rule_of_the_public_script(write, run_main, capsys):
    sizes = [{**image, "width": 100, "height": 100} for image in TRUTH["images"]]
    # 60 pixels above the first lesion, whose range begins at 20 - 20 / 2 = 10 from the top
    truth = TRUTH["annotations"][1] | {"bbox": [10, 75, 20, 20], "image_id": 0}
    found = {"image_id": 0, "category_id": 1, "bbox": [12, 10, 20, 10], "score": 0.9}
    write({**TRUTH, "images": sizes, "annotations": [truth]}, [found])
    assert run_main("--bootstrap", "0", "--json", "ours.json") == 0
    options = ("--bootstrap", "0", "--hit-rule", "published_script")
    assert run_main(*options) == 2
    assert (
        "suppresses nothing: switch the suppression off (--nms-iou none" in capsys.readouterr().err
    )
    assert run_main(*options, "--nms-iou", "none", "--json", "published.json") == 0
    ours, published = (
        json.loads(Path(f"{name}.json").read_text()) for name in ("ours", "published")
    )
    assert (ours["cpm"], published["cpm"]) == (0, 1)
    assert published["settings"]["hit_rule"] == "published_script"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            {"detections": '[{"image_id": 0, '},
            "error: detection file detections.json is cut off at line 1",
        ),
        (
            {"detections": [{**DETECTIONS[0], "image_id": 77}, {**DETECTIONS[1], "score": None}]},
            "error: detections.json: 2 faults: record 0: image_id 77 is unknown; record 1: score",
        ),
    ],
)
def test_bad_input_is_one_line(write, run_main, capsys, broken, message):
    write(**broken)
    assert run_main() == 2
    errors = capsys.readouterr().err
    assert errors.startswith(message)
    assert errors.count("\n") == 1


def test_nms_iou_is_a_number_or_none(run_main, capsys):
    assert run_main("--nms-iou", "off") == 2
    assert "'off' is neither a number nor 'none'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--iou", "nan"), "IoU of a hit must be in (0, 1], got nan"),
        (("--iou", "0"), "IoU of a hit must be in (0, 1], got 0.0"),
        (("--nms-iou", "nan"), "IoU of the suppression must be in [0, 1], got nan"),
        (("--nms-iou", "1.5"), "IoU of the suppression must be in [0, 1], got 1.5"),
        (("--bootstrap", "-1"), "bootstrap resamples must be a whole number from 0 to 1000000"),
        (("--bootstrap", "1000000000000"), "bootstrap resamples must be a whole number"),
        (("--score", "nan"), "score threshold must be in [0, 1], got nan"),
        (("--score", "-1"), "score threshold must be in [0, 1], got -1.0"),
        (("--seed", "-1"), "seed of the resampling must be a whole number from 0"),
        (("--json", "folder"), "folder: is a directory"),
        (("--json", "truth.json/out.json"), "not a directory: a file is where a folder"),
        (("--plot", "/dev/null"), "/dev/null: file exists"),
        (("--plot", "x" * 300), "file name too long"),
        (("--json", "truth.json"), "--json and --annotations are both truth.json"),
        (("--plot", "./detections.json"), "--plot and --detections are both ./detections.json"),
        (("--json", "out", "--plot", "out"), "--plot and --json are both out"),
        (("--plot", "froc.pdf"), "--plot froc.pdf will be a PNG: let the name end in .png"),
    ],
)
def test_what_would_fail_in_the_end_fails_at_once(write, run_main, capsys, options, words):
    write(detections="not looked at")
    before = Path("truth.json").read_bytes()
    Path("folder").mkdir()
    assert run_main(*options) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert Path("truth.json").read_bytes() == before


def test_detections_in_another_order_find_all_lesions_by_their_names(write, run_main):
    """predict.py on a folder knows no ids; what it numbered by place scored 0."""
    truth = {
        **TRUTH,
        "images": [{**image, "file_name": f"a/{image['id']}.png"} for image in TRUTH["images"]],
    }
    lesions = [
        {
            "image_id": None,
            "file_name": f"scans/a/{lesion['image_id']}.png",
            "category_id": None,
            "category_name": "mal",
            "bbox": lesion["bbox"],
            "score": 0.9,
        }
        for lesion in reversed(TRUTH["annotations"])
    ]
    write(truth, lesions)
    assert run_main("--bootstrap", "0", "--json", "froc.json") == 0
    assert json.loads(Path("froc.json").read_text())["sensitivity"] == [1] * 9
    numbered = [{**lesion, "image_id": place} for place, lesion in enumerate(lesions)]
    write(truth, numbered)
    assert run_main() == 2


def test_any_file_name_is_a_legend(write, run_main):
    write()
    for name in ("$x_{.json", "_hidden.json"):
        Path("detections.json").rename(name)
        assert not run_main("--bootstrap", "0", "--detections", name, "--plot", "froc.png")
        assert Path("froc.png").stat().st_size > 0
        Path(name).rename("detections.json")
        Path("froc.png").unlink()
