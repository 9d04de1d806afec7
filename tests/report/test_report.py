import json
import re

import pytest

from medmask.errors import InputError
from medmask.report import ReportOptions, write_report


@pytest.fixture
def write(tmp_path):
    """Writes a report and returns its text."""

    def write(*runs, **options):
        path = tmp_path / "page.html"
        write_report(runs, path, ReportOptions(**{"gallery": 2, **options}))
        return path.read_text()

    return write


def test_figures_are_those_of_the_evaluation(make_run, write):
    run = make_run()
    page = write(run)
    result = json.loads((run / "inference" / "froc.json").read_text())
    for point, value, (low, high) in zip(
        result["fpi"], result["sensitivity"], result["intervals"], strict=True
    ):
        row = f"<td>{point:g}</td>"
        row += f'<td class="number">{value:.3f}</td><td class="number">{low:.3f} to {high:.3f}</td>'
        assert row in page
    assert f"<dt>CPM</dt><dd>{result['cpm']:.3f}</dd>" in page


def test_page_holds_all_it_needs(make_run, write):
    page = write(make_run())
    for title in ("FROC", "ROC of images", "Total loss", "Learning rate", "Results while training"):
        assert f"<strong>{title}</strong>" in page
    for text in ("phantom_film_train", "mae/r2", "torch", "Patients of both", "train: {seed: 0}"):
        assert text in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert not re.search(r"https?://", page)
    assert 'class="missing"' not in page


def test_what_is_missing_says_what_to_run(make_run, write):
    run = make_run()
    (run / "inference" / "froc_detections.json").unlink()
    (run / "metrics.json").unlink()
    (run / "versions.json").unlink()
    page = write(run)
    assert "--eval-only --config-file" in page
    assert "no metrics.json" in page
    assert "no versions.json" in page
    assert "froc/R@0.3" in page  # of evaluations.json


def test_text_of_files_is_escaped(make_run, write):
    run = make_run()
    worst = "<script>alert(1)</script>"
    (run / "versions.json").write_text(json.dumps({worst: worst}))
    with (run / "config.yaml").open("a") as file:
        file.write(f"other: '{worst}'\n")
    with (run / "metrics.json").open("a") as file:
        file.write(json.dumps({"iteration": 11, f"loss_{worst}": 1.0}) + "\n")
    page = write(run, title=worst)
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page


def test_last_line_of_a_killed_run_may_be_cut_off(make_run, write):
    run = make_run()
    text = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text(text + '{"iteration": 10, "tot')
    assert "Total loss" in write(run)
    (run / "metrics.json").write_text("{" + text)
    with pytest.raises(InputError, match="line 1 is no JSON object"):
        write(run)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("evaluations.json", "{}", "no list of evaluations"),
        ("evaluations.json", "[{}]", "no number 'iteration'"),
        ("versions.json", "[1]", "no JSON object"),
        ("inference/froc.json", '{"settings": {"nms_iou": 7}}', "no settings of an evaluation"),
        ("inference/froc_detections.json", '[{"image_id": 99}]', "fault"),
        ("config.yaml", "a: !!python/object:os.system {}", "cannot be read"),
    ],
    ids=["object", "iteration", "versions", "settings", "detections", "config"],
)
def test_broken_files_are_named(make_run, write, file, content, words):
    run = make_run()
    (run / file).write_text(content)
    with pytest.raises(InputError, match=words) as error:
        write(run)
    assert file.rpartition("/")[2] in str(error.value)


def test_gallery_has_limits(make_run, write, monkeypatch):
    run = make_run()
    shown = write(run, gallery=1)
    assert "The first 1 of each kind are shown" in shown
    assert len(re.findall(r"<tr data-kind", shown)) <= 3
    assert "<img" not in write(run, gallery=0)
    monkeypatch.setattr("medmask.report.gallery_section.MOST_BYTES", 1000)
    assert "more had no room" in write(run)


def test_runs_are_compared_over_patients(make_run, write):
    page = write(make_run("a"), make_run("b", seed=1))
    assert "b minus a" in page
    assert "<td>train.seed</td>" in page
    other = make_run("c", dataset="phantom_ffdm_val")
    page = write(make_run("d"), other)
    assert "their patients are not the same" in page
    with pytest.raises(InputError, match="named twice"):
        write(other, other)


def test_folder_without_a_run(tmp_path, write):
    with pytest.raises(InputError, match="holds no run"):
        write(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        write(tmp_path / "nothing")


def test_tool_writes_into_the_folder_of_the_run(run_tool, make_run, datasets):
    run = make_run()
    result = run_tool(
        "report.py", run, "--gallery", 1, "--bootstrap", 20, DETECTRON2_DATASETS=str(datasets)
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"wrote {run}/report.html")
    assert "20 resamples" in (run / "report.html").read_text()
    result = run_tool("report.py", run / "inference")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
