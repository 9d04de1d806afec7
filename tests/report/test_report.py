import json
import os
import re

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.data import register_coco_dataset
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
    low, high = result["cpm_interval"]
    assert f">{low:.3f} to {high:.3f}; mean sensitivity at 1/8 to 8 FPI<" in page


def test_froc_curve_begins_at_the_sensitivity_of_the_lowest_rate(make_run, write):
    page = write(make_run())
    curve = re.search(r'<path d="([^"]+)" class="line"', page[page.index("<title>FROC:") :])[1]
    assert curve.startswith("M52.0 ")
    assert "H52.0" not in curve  # no rise from 0 at the edge


def test_calibration_is_that_of_the_file(make_run, write):
    run = make_run()
    page = write(run)
    stored = json.loads((run / "calibration.json").read_text())
    for kind, sign in (("detections", "on a lesion"), ("images", "with a lesion")):
        before, after = (stored[kind][key] for key in ("scores_as_they_are", "out_of_fold"))
        for probabilities, told in (
            ("scores as they are", before),
            ("logistic, out of fold", after),
        ):
            low, high = told["ece_interval"]
            row = f"<td>{kind}: {probabilities}</td>"
            row += f'<td class="number">{told["ece"]:.3f}</td>'
            row += f'<td class="number">{low:.3f} to {high:.3f}</td>'
            assert row + f'<td class="number">{told["brier"]:.3f}</td>' in page
        diagram = page[page.index(f"<strong>Reliability of {kind}</strong>") :]
        diagram = diagram[: diagram.index("</figure>")]
        assert f"share {sign}" in diagram
        marks = re.findall(r": ([0-9.]+) at ([0-9.e-]+)</title>", diagram)
        expected = [
            (f"{y:.3f}", f"{x:g}")
            for bins in (before["bins"], after["bins"])
            for x, y in zip(bins["probability"], bins["observed"], strict=True)
        ]
        assert marks == expected
        assert diagram.count('class="band"') == 2
    for point in stored["operating_points"]:
        low, high = point["threshold_interval"]
        row = f"<td>{point['fpi']:g}</td>"
        row += f'<td class="number">{point["threshold"]:.3f}</td>'
        assert row + f'<td class="number">{low:.3f} to {high:.3f}</td>' in page
    assert "model_best.pth" in page
    assert all(sentence in page for sentence in stored["warnings"])


def test_scores_without_a_calibration_are_called_so(make_run, write):
    run = make_run()
    (run / "calibration.json").unlink()
    page = write(run)
    assert "Scores are not calibrated: they rank the detections" in page
    assert f"medmask calibrate --checkpoint {run}/model_best.pth" in page
    assert "Reliability" not in page
    (run / "model_best.pth").rename(run / "model_0000099.pth")
    assert f"medmask calibrate --checkpoint {run}/model_0000099.pth" in write(run)
    (run / "model_0000099.pth").unlink()
    page = write(run)
    assert "no calibration.json: put that of its weights there" in page
    assert "--checkpoint" not in page
    both = write(make_run("a"), run)
    assert "Scores are not calibrated" in both
    assert both.count("Reliability of images</strong>") == 1


def test_calibration_of_weights_that_have_changed_is_told(make_run, write):
    run = make_run()
    assert "other weights" not in write(run)
    (run / "model_best.pth").write_bytes(b"trained on")
    assert "is the calibration of other weights than" in write(run)
    (run / "model_best.pth").unlink()  # nothing to compare with
    assert "other weights" not in write(run)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is damaged, or is none, at &#x27;format&#x27;"),
        ('{"format"', "is cut off at line 1"),
    ],
)
def test_damaged_calibration_is_told_on_the_page(make_run, write, content, words):
    run = make_run()
    (run / "calibration.json").write_text(content)
    page = write(run)
    assert f"calibration file {run}/calibration.json {words}" in page
    assert "Reliability" not in page
    assert "<strong>FROC</strong>" in page


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


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml"])
def test_pipes_in_the_place_of_files_are_not_waited_for(make_run, write, name):
    run = make_run()
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(InputError, match=f"{re.escape(name)} .*not a file, but a folder, a pipe"):
        write(run)


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


def test_no_resamples_give_no_intervals_of_differences(make_run, write):
    runs = make_run("a"), make_run("b", seed=1)
    page = write(*runs, bootstrap=0)
    compared = page[page.index('id="comparison"') : page.index('id="calibration"')]
    assert "No intervals were asked for (--bootstrap 0)" in compared
    assert not re.search(r"\d to -?\d", compared)
    assert "Both runs on the same 20 resamples" in write(*runs, bootstrap=20)


def test_set_that_runs_mean_different_files_by_is_told(make_run, write, datasets):
    name, film = "own_set_of_a_report", datasets / "phantom" / "film"

    def make(label, split):
        run = make_run(label)
        text = (run / "config.yaml").read_text().replace("phantom_film_val", name)
        own = {
            "json_file": str(film / "annotations" / f"instances_{split}.json"),
            "image_root": str(film / "images" / split),
            "thing_classes": ["malignant"],
        }
        text += f"own_datasets: {json.dumps({name: own})}\n"
        (run / "config.yaml").write_text(text)
        return run

    try:
        page = write(make("a", "val"), make("b", "train"))
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert f"b means other files by {name} than another run" in page
    assert "not registered" not in page


def test_hit_rule_of_the_public_script_is_told(make_run, write):
    run = make_run()
    file = run / "inference" / "froc.json"
    content = json.loads(file.read_text())
    content["settings"] |= {"hit_rule": "published_script", "nms_iou": None}
    file.write_text(json.dumps(content))
    page = write(run, gallery=0)
    assert "lies where the public script has the lesion (hit rule published_script)" in page
    assert "lies in the lesion" not in page


def test_joined_training_sets_are_described(make_run, write):
    run = make_run()
    config = run / "config.yaml"
    joined = "train: {dataset: [phantom_ffdm_train, phantom_film_val]}"
    config.write_text(config.read_text().replace("train: {dataset: phantom_film_train}", joined))
    page = write(run)
    assert "<td>phantom_ffdm_train</td><td>training</td>" in page
    assert "<td>phantom_film_val</td><td>test, training</td>" in page
    assert "phantom_film_val was both trained and tested on" in page


def test_images_without_a_patient_are_no_shared_patients(make_run, write, datasets, tmp_path):
    film, names = datasets / "phantom" / "film", {}
    for split in ("train", "val"):
        content = json.loads((film / "annotations" / f"instances_{split}.json").read_text())
        content["images"][0] |= {"id": "one"}
        for annotation in content["annotations"]:
            annotation["image_id"] = "one"
        del content["images"][0]["patient_id"]
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
        names[split] = f"{split}_without_a_patient"
        register_coco_dataset(names[split], tmp_path / f"{split}.json", film / "images" / split)
    try:
        run = make_run(dataset=names["val"])
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("phantom_film_train", names["train"]))
        page = write(run, gallery=0)
    finally:
        for name in names.values():
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
    assert f"Patients of both {names['train']} and {names['val']}, by their ids: 0." in page


def test_learning_of_a_stage_that_ended_before_the_run_is_shown(make_run, write):
    run = make_run()
    ended = {f"learning/masks/dice{end}": x for end, x in (("", 0.5), ("_constant", 0.25))}
    lines = [{"iteration": 3, "learning/masks/dice": 0.125}, {"iteration": 6, **ended}]
    with (run / "metrics.json").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    evaluations = json.loads((run / "evaluations.json").read_text())
    evaluations[0]["learning/masks/dice"] = 0.0625  # before the last measurement
    (run / "evaluations.json").write_text(json.dumps(evaluations))
    row = '<td>masks/dice</td><td class="number">0.500</td><td class="number">0.250</td>'
    assert row in write(run)


def test_each_kind_of_loss_has_a_chart(make_run, write):
    run = make_run()
    own = [f"loss_expert_{number}" for number in range(3)]
    supervised = [f"loss_{name}{end}" for name in ("box", "giou") for end in ("", "_proposals")]
    names = [*own, *supervised, *(f"{name}_target" for name in supervised)]
    norms = [f"gradient_norm/mae/{part}" for part in ("encoder", "decoder")]
    values = dict.fromkeys([*names, *norms], 0.5)
    lines = [{"iteration": i, **values} for i in (10, 11)]
    with (run / "metrics.json").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    charts = re.findall(r"<figure.*?</figure>", write(run), re.DOTALL)
    shown = {}
    for chart in charts:
        title = re.search(r"<strong>(.*?)</strong>", chart)[1]
        shown[title] = re.findall(r"<li[^>]*>(.*?)</li>", chart)
    assert shown["Losses of detection"] == sorted([*supervised, "loss_class"])
    assert shown["Losses of detection on pseudo labels"] == sorted(names[-4:])
    assert shown["Losses of the stages"] == own
    assert shown["Gradients of each loss in the encoder"] == ["gradient_norm/mae/encoder"]
    assert shown["Gradients of each loss in the decoder"] == ["gradient_norm/mae/decoder"]


@pytest.fixture
def taught_run(make_run):
    """Makes a run that has evaluated its teacher, too."""
    run, other = make_run("taught"), make_run("other", seed=1)
    (run / "teacher").mkdir()
    (other / "inference").rename(run / "teacher" / "inference")
    evaluations = json.loads((run / "evaluations.json").read_text())
    evaluations[-1] |= {"teacher/froc/R@0.3": 77.0, "teacher/bbox/AP": 5.5}
    (run / "evaluations.json").write_text(json.dumps(evaluations))
    (run / "teacher_final.pth").write_bytes(b"other weights")
    return run


def test_other_model_of_a_run_is_named(taught_run, write):
    told = f"its teacher, too, which is not shown here: medmask report {taught_run} "
    assert f"{told}{taught_run}/teacher" in write(taught_run)
    assert told not in write(taught_run, taught_run / "teacher")


def test_other_model_of_a_run_is_a_run(taught_run, write):
    page = write(taught_run / "teacher")
    result = json.loads((taught_run / "teacher" / "inference" / "froc.json").read_text())
    assert f"<dt>CPM</dt><dd>{result['cpm']:.3f}</dd>" in page
    assert '<td>froc/R@0.3</td><td class="number">77.00</td>' in page
    assert '<td class="number">40.00</td>' not in page  # of the trained model
    assert "Total loss" in page
    assert "mae/r2" in page
    assert "train: {seed: 0}" in page
    advice = "no calibration.json of its teacher: make it with medmask calibrate --checkpoint "
    assert f"{advice}{taught_run}/teacher_final.pth" in page


def test_models_of_one_run_are_compared(taught_run, write):
    page = write(taught_run, taught_run / "teacher")
    assert "teacher minus taught" in page
    assert "Trained in the same run as" in page
    assert page.count("Total loss: loss over") == 1


def test_folder_without_a_run(tmp_path, write):
    with pytest.raises(InputError, match="holds no run"):
        write(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        write_report([tmp_path / "nothing"], tmp_path / "nothing" / "report.html")
    assert not (tmp_path / "nothing").exists()


def test_folder_whose_name_is_no_unicode(make_run, write):
    assert "caf\ufffd" in write(make_run(os.fsdecode(b"caf\xe9")))


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


def test_set_of_the_users_own_is_found_by_the_config_of_its_run(make_run, write, datasets):
    run = make_run()
    tree = datasets / "phantom" / "film"
    described = {
        "json_file": str(tree / "annotations" / "instances_val.json"),
        "image_root": str(tree / "images" / "val"),
        "thing_classes": ["malignant"],
    }
    config = {
        "dataloader": {"test": {"dataset": "mine_val"}},
        "own_datasets": {"mine_val": described},
    }
    (run / "config.yaml").write_text(json.dumps(config))
    try:
        page = write(run)
    finally:
        DatasetCatalog.remove("mine_val")
        MetadataCatalog.remove("mine_val")
    assert "not registered" not in page
    assert "run on mine_val" in page


def test_findings_of_several_classes_say_which(make_run, write, datasets, tmp_path):
    film = datasets / "phantom" / "film"
    content = json.loads((film / "annotations" / "instances_val.json").read_text())
    content["categories"].append({"id": 7, "name": "Zyste <b>"})
    (tmp_path / "two.json").write_text(json.dumps(content))
    register_coco_dataset("set_of_two_classes", tmp_path / "two.json", film / "images" / "val")
    try:
        run = make_run("two", dataset="set_of_two_classes")
        detections = run / "inference" / "froc_detections.json"
        records = json.loads(detections.read_text())
        renamed = {"category_id": 7, "category_name": "Zyste <b>"}
        detections.write_text(json.dumps([record | renamed for record in records]))
        page = write(run)
    finally:
        DatasetCatalog.remove("set_of_two_classes")
        MetadataCatalog.remove("set_of_two_classes")
    assert "Zyste &lt;b&gt;</td>" in page
    assert 'data-label="class"' in page
    assert 'data-label="class"' not in write(make_run("one"))
