"""Predictions on archives: shards, workers, batches, kills, and the merge of all of it."""

import csv
import json
import os
import random
import re
import sys
import time
from pathlib import Path

import pytest
from detectron2.data.transforms import AugmentationList
from toy_image_detector import DEADLY, BrightnessDetector, MortalReader, write_images

from medmask.errors import InputError
from medmask.inference import PredictionOptions, WorkList, images_of_files, predict_images
from medmask.inference.merging import merge_predictions
from medmask.inference.options import Shard
from medmask.inference.prediction_record import format_line

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = ("detections.json", "detections.csv", "images.csv")


def options(**values):
    return PredictionOptions(overlays=False, formats=("json", "csv"), **values)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def done_paths(folder):
    """The image of each line of all parts, last lines that are cut off left out."""
    paths = []
    for part in sorted(folder.glob("predictions*.jsonl")):
        *lines, _ = part.read_bytes().split(b"\n")
        paths += [json.loads(line)["path"] for line in lines[1:]]
    return paths


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return images_of_files(write_images(tmp_path_factory.mktemp("in"), list(range(10, 40))))


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """An image whose file is none."""
    path = tmp_path_factory.mktemp("broken") / "broken.png"
    path.write_bytes(b"no image")
    (image,) = images_of_files([path])
    return image


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The output of a run in one process that nothing stopped."""
    output = tmp_path_factory.mktemp("whole")
    summary = predict_images(BrightnessDetector(), images, output, options=options())
    assert (summary.images, summary.problems) == (30, ())
    return output


def test_shards_take_each_image_once_and_merge_to_the_whole(images, whole, tmp_path):
    for number in (2, 3, 1):
        shard = options(shard=Shard(number, 3))
        summary = predict_images(BrightnessDetector(), images, tmp_path, options=shard)
        assert summary.images == 10
        assert not (tmp_path / "detections.json").exists()
    assert sorted(done_paths(tmp_path)) == [image.real_path for image in images]
    merged = merge_predictions(tmp_path, ("json", "csv"))
    assert (merged.images, merged.problems) == ({"done": 30}, ())
    assert contents(tmp_path) == contents(whole)


def test_merge_names_shards_that_are_missing_or_not_finished(images, tmp_path):
    predict_images(BrightnessDetector(), images, tmp_path, options=options(shard=Shard(1, 3)))
    predict_images(BrightnessDetector(), images, tmp_path, options=options(shard=Shard(2, 3)))
    (tmp_path / "predictions-2-of-3.finished").write_text("{")  # no mark of ours
    merged = merge_predictions(tmp_path, ("json",))
    assert merged.problems == (
        f"shard 2/3 in {tmp_path} is not finished",
        f"shard 3/3 in {tmp_path} is not finished",
    )


def test_merge_after_a_list_has_grown_names_shards_that_ended_before(images, tmp_path):
    def predict(number, count, listed):
        chosen = options(shard=Shard(number, count))
        predict_images(BrightnessDetector(), images[:listed], tmp_path, options=chosen)

    def problems():
        return merge_predictions(tmp_path, ("json",)).problems

    predict(1, 2, 20)
    predict(2, 2, 20)
    assert problems() == ()
    predict(1, 2, 30)
    assert problems() == (f"shard 2/2 in {tmp_path} is not finished",)
    predict(2, 3, 30)
    (tmp_path / "predictions-1-of-2.finished").unlink()
    assert problems() == tuple(f"shard {n}/3 in {tmp_path} is not finished" for n in (1, 3))
    (tmp_path / "predictions-2-of-3.finished").unlink()  # as a kill before the end leaves it
    (problem,) = problems()
    assert "on 26 images, but the list that a shard was the last to come to the end of" in problem
    assert "has 20: run all shards of the list of today" in problem
    predict(1, 1, 30)
    assert problems() == ()


def test_failed_image_may_be_left_out_of_the_list(images, broken, tmp_path):
    output = tmp_path / "out"

    def predict(number, count, listed):
        chosen = options(shard=Shard(number, count))
        predict_images(BrightnessDetector(), listed, output, options=chosen)

    def merge():
        merged = merge_predictions(output, ("json",))
        return merged.images, merged.problems

    for listed in ([*images, broken], [*images, broken], images, images):
        predict(1, 2, listed)
        predict(2, 2, listed)
    assert merge() == ({"done": 30}, ())
    predict(1, 1, images)
    assert merge() == ({"done": 30}, ())
    predict(1, 1, [*images, broken])
    statuses, (problem,) = merge()
    assert statuses == {"done": 30, "refused": 1}
    assert "broken.png cannot be read" in problem
    predict(1, 1, images)
    assert merge() == ({"done": 30}, ())


@pytest.mark.parametrize("what", ["failed", "not looked at"])
def test_image_may_be_left_out_and_the_list_divided_anew(images, broken, tmp_path, what):
    """Also where only some shards of the list with it came to their end."""
    output = tmp_path / "out"

    def predict(number, count, listed):
        chosen = options(shard=Shard(number, count))
        predict_images(BrightnessDetector(), listed, output, options=chosen)

    predict(1 if what == "failed" else 2, 2, [*images, broken])  # it is in the first shard
    predict(1, 1, images)
    merged = merge_predictions(output, ("json",))
    assert (merged.images, merged.problems) == ({"done": 30}, ())
    predict(1, 3, images)
    assert merge_predictions(output, ("json",)).problems == ()


def test_image_may_be_left_out_and_put_back(images, broken, tmp_path):
    """Also where its part has no finished image, and is written afresh, to the same places."""

    def predict(number, count, listed):
        chosen = options(shard=Shard(number, count))
        predict_images(BrightnessDetector(), listed, tmp_path, options=chosen)

    def statuses():
        return merge_predictions(tmp_path, ("json",)).images

    predict(1, 1, [broken])
    predict(1, 2, images[:1])
    assert statuses() == {"done": 1}
    predict(1, 1, [broken, images[0]])
    assert statuses() == {"done": 1, "refused": 1}
    (tmp_path / "predictions.finished").unlink()  # as a kill before the end leaves it
    assert statuses() == {"done": 1, "refused": 1}


def test_image_is_put_back_by_another_shard_than_its_own(images, broken, tmp_path):
    listed = [broken, *images[:3]]
    for number, count, of in ((1, 2, listed), (2, 2, listed), (1, 1, images[:3]), (2, 2, listed)):
        chosen = options(shard=Shard(number, count))
        predict_images(BrightnessDetector(), of, tmp_path, options=chosen)
    merged = merge_predictions(tmp_path, ("json",))
    assert (merged.images, len(merged.problems)) == ({"done": 3, "refused": 1}, 1)


def test_shard_of_another_list_of_as_many_images_is_not_finished(images, tmp_path):
    for number, listed in ((1, [images[0], images[1]]), (2, [images[1], images[0]])):
        chosen = options(shard=Shard(number, 2))
        predict_images(BrightnessDetector(), listed, tmp_path, options=chosen)
    merged = merge_predictions(tmp_path, ("json",))
    assert merged.images == {"done": 1}
    assert merged.problems == (f"shard 1/2 in {tmp_path} is not finished",)


def test_records_and_marks_of_earlier_versions_are_read(images, broken, tmp_path):
    """They name no runs and no lists, but the places of failures and the lengths of lists."""
    for number, listed in ((1, [broken, *images]), (2, [broken, *images]), (2, images)):
        chosen = options(shard=Shard(number, 2))
        predict_images(BrightnessDetector(), listed, tmp_path, options=chosen)
    part, other = (tmp_path / f"predictions-{number}-of-2.jsonl" for number in (1, 2))
    header, *lines = part.read_bytes().splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    for record in records:
        del record["run"], record["sha256"]
    part.write_bytes(header + b"".join(map(format_line, records)))
    assert merge_predictions(tmp_path, ("json",)).images == {"done": 30, "refused": 1}
    assert records[0]["status"] == "refused"
    left_out = [[records[0]["key"], part.name, len(header)]]
    for number, path in enumerate((part, other)):
        mark = {"images": 15, "listed": 30, "left_out": left_out[number:], "sequence": 3 + number}
        path.with_suffix(".finished").write_text(json.dumps(mark))
    merged = merge_predictions(tmp_path, ("json",))
    assert (merged.images, merged.problems) == ({"done": 30}, ())


def test_run_with_nothing_to_do_leaves_the_time_of_the_predictions(images, tmp_path):
    predict_images(BrightnessDetector(), images[:2], tmp_path, options=options())
    os.utime(tmp_path / "predictions.jsonl", (1e9, 1e9))
    predict_images(BrightnessDetector(), images[:2], tmp_path, options=options())
    assert (tmp_path / "predictions.jsonl").stat().st_mtime == 1e9


def test_another_number_of_shards_goes_on_with_what_is_done(images, whole, tmp_path):
    predict_images(BrightnessDetector(), images, tmp_path, options=options(shard=Shard(1, 2)))
    summary = predict_images(BrightnessDetector(), images, tmp_path, options=options())
    assert (summary.images, summary.done_before) == (30, 15)
    assert contents(tmp_path) == contents(whole)


def test_shards_of_other_weights_are_refused(images, tmp_path):
    predict_images(BrightnessDetector(), images, tmp_path, options=options(shard=Shard(1, 2)))
    other = BrightnessDetector()
    other.settings = lambda: {"weights": "other"}
    with pytest.raises(InputError, match="with weights=abc, but now weights=other"):
        predict_images(other, images, tmp_path, options=options(shard=Shard(2, 2)))


def test_shard_overwrites_nothing(images, tmp_path):
    with pytest.raises(InputError, match="a shard does not overwrite"):
        predict_images(
            BrightnessDetector(),
            images,
            tmp_path,
            options=options(shard=Shard(1, 2)),
            overwrite=True,
        )


def test_batches_are_of_one_size_and_change_nothing(images, whole, tmp_path):
    detector = BrightnessDetector()
    predict_images(detector, images, tmp_path, options=options(batch_size=4))
    assert detector.batches == [4] * 6 + [3, 3]  # 15 images of each of two sizes
    assert contents(tmp_path) == contents(whole)


def test_image_that_kills_its_worker_costs_no_other(tmp_path):
    paths = write_images(tmp_path / "in", [10, 20, DEADLY, 30, 40, 50, DEADLY, 60])
    detector = BrightnessDetector(reader=MortalReader(AugmentationList([])))
    summary = predict_images(
        detector, images_of_files(paths), tmp_path / "out", options=options(workers=2)
    )
    assert summary.statuses == {"done": 6, "failed": 2}
    assert [str(paths[i]) in summary.problems[n] for n, i in enumerate((2, 6))] == [True, True]
    assert "ended the process that read it" in summary.problems[0]
    with open(tmp_path / "out" / "images.csv", newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert statuses == ["done", "done", "failed", "done", "done", "done", "failed", "done"]


def test_files_that_are_no_images_are_refused_and_named(tmp_path):
    paths = write_images(tmp_path / "in", [10, 20])
    paths[0].write_bytes(b"no image")
    summary = predict_images(
        BrightnessDetector(), images_of_files(paths), tmp_path / "out", options=options()
    )
    assert summary.statuses == {"done": 1, "refused": 1}
    assert str(paths[0]) in summary.problems[0]
    merged = merge_predictions(tmp_path / "out", ("csv",))
    assert (merged.images, merged.problems) == ({"done": 1, "refused": 1}, summary.problems)


def test_numbers_of_the_model_that_are_not_finite_are_no_fault_of_the_file(images, tmp_path):
    class Diverged(BrightnessDetector):
        def detect(self, inputs):
            raise InputError("the model predicted boxes that are not finite")

    summary = predict_images(Diverged(), images[:2], tmp_path, options=options())
    assert summary.statuses == {"failed": 2}
    assert summary.failed == tuple(image.real_path for image in images[:2])
    assert "not finite" in summary.problems[0]


@pytest.mark.parametrize("formats", [("csv",), ("parquet",)])
def test_tables_tell_of_a_faulty_file_of_any_name(tmp_path, formats):
    if formats == ("parquet",):
        pytest.importorskip("pyarrow")
    path = tmp_path / os.fsdecode(b"\xff.png")
    path.write_bytes(b"no image")
    chosen = PredictionOptions(overlays=False, formats=formats)
    summary = predict_images(
        BrightnessDetector(), images_of_files([path]), tmp_path / "out", options=chosen
    )
    assert summary.statuses == {"refused": 1}
    assert (tmp_path / "out" / f"images.{formats[0]}").stat().st_size


def test_tables_tell_what_the_json_file_tells(whole):
    detections = json.loads((whole / "detections.json").read_text())
    with open(whole / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(detections) == 30
    for row, detection in zip(rows, detections, strict=True):
        assert [float(row[x]) for x in ("x", "y", "width", "height")] == detection["bbox"]
        assert float(row["score"]) == detection["score"]
        assert row["file_name"] == detection["file_name"]
    with open(whole / "images.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["height"], first["width"], first["detections"]) == ("7", "8", "1")


def test_parquet_tells_the_same(whole, images, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict_images(
        BrightnessDetector(),
        images,
        tmp_path,
        options=PredictionOptions(overlays=False, formats=("parquet",)),
    )
    for name in ("detections", "images"):
        rows = parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        with open(whole / f"{name}.csv", newline="") as file:
            expected = list(csv.DictReader(file))
        written = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
        assert written == expected
    assert not (tmp_path / "detections.json").exists()


def test_package_that_results_need_is_missed_before_the_work(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    detector = BrightnessDetector()
    chosen = PredictionOptions(overlays=False, formats=("parquet",))
    with pytest.raises(InputError, match=r"package pyarrow.* pip install 'medmask-detection\[p"):
        predict_images(detector, images, tmp_path / "out", options=chosen)
    assert not detector.batches


def test_manifest_is_planned_without_a_look_at_its_images(tmp_path, monkeypatch):
    rows = 2000
    lines = [f"images/{index}.dcm" for index in range(rows)]
    (tmp_path / "archive.csv").write_text("\n".join(["path", *lines, lines[0]]) + "\n")
    images = WorkList([tmp_path / "archive.csv"])
    looked_at = []

    def count(function):
        def counted(path, *arguments, **keywords):
            looked_at.append(path)
            return function(path, *arguments, **keywords)

        return counted

    from medmask.inference.planning import make_plan
    from medmask.inference.prediction_parts import PartsReader

    parts = PartsReader(tmp_path)
    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, count(getattr(os, name)))
    plan = make_plan(images, parts, Shard(2, 4))
    monkeypatch.undo()
    assert not [path for path in looked_at if ".dcm" in str(path)]
    assert (plan.images, plan.done_before) == (rows // 4, 0)
    assert list(plan.left) == list(range(1, rows, 4))
    assert [position for position, _ in plan.images_left(images)] == list(plan.left)


def test_manifest_is_predicted_on_and_gone_on_with(whole, images, tmp_path):
    lines = [f"{image.path},{number}" for number, image in enumerate(images)]
    (tmp_path / "archive.csv").write_text("\n".join(["path,image_id", *lines]) + "\n")
    work = WorkList([tmp_path / "archive.csv"])
    output = tmp_path / "out"
    summary = predict_images(BrightnessDetector(), work, output, options=options())
    assert (summary.images, summary.done_before, summary.problems) == (30, 0, ())
    detections = json.loads((output / "detections.json").read_text())
    expected = json.loads((whole / "detections.json").read_text())
    assert [d["image_id"] for d in detections] == [str(number) for number in range(30)]
    assert [d["bbox"] for d in detections] == [d["bbox"] for d in expected]
    again = predict_images(BrightnessDetector(), work, output, options=options())
    assert (again.done_before, again.problems) == (30, ())


@pytest.mark.parametrize("second", ["other.csv", "list.csv"])
def test_two_images_of_one_id_are_refused_before_any_is_predicted_on(images, tmp_path, second):
    """Detections of both would be told under the id, and counted as those of one image."""
    rows = [f"{images[0].path},7", f"{images[1].path},8", f"{images[0].path},7"]
    twice = f"{images[2].path},7"
    for name in ("list.csv", "other.csv"):
        lines = ["path,image_id", *rows, *([twice] if name == second else [])]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    work = WorkList([tmp_path / "list.csv", tmp_path / "other.csv"])
    words = f"{images[0].path} and {images[2].path} have the same image_id 7: give each"
    with pytest.raises(InputError, match=re.escape(words)):
        predict_images(BrightnessDetector(), work, tmp_path / "out", options=options())
    assert not (tmp_path / "out" / "detections.json").exists()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_file_under_two_ids_is_predicted_on_for_each(images, tmp_path, batch_size):
    (tmp_path / "list.csv").write_text(
        "path,image_id\n"
        + "".join(f"{images[row].path},{id_}\n" for row, id_ in ((0, 7), (1, 8), (0, 9), (0, 7)))
    )
    chosen = options(batch_size=batch_size)
    for done_before in (0, 3):
        archive = WorkList([tmp_path / "list.csv"])
        summary = predict_images(BrightnessDetector(), archive, tmp_path / "out", options=chosen)
        assert (summary.images, summary.done_before, summary.problems) == (3, done_before, ())
        found = json.loads((tmp_path / "out" / "detections.json").read_text())
        assert [x["image_id"] for x in found] == ["7", "8", "9"]
        assert found[2] == found[0] | {"image_id": "9"}
        with open(tmp_path / "out" / "images.csv", newline="") as file:
            assert [row["image_id"] for row in csv.DictReader(file)] == ["7", "8", "9"]


def test_row_that_names_no_possible_file_costs_no_other(images, tmp_path):
    lines = ["a\0b.png", *(str(image.path) for image in images[:2])]
    (tmp_path / "archive.csv").write_text("\n".join(["path", *lines]) + "\n")
    work = WorkList([tmp_path / "archive.csv"])
    summary = predict_images(BrightnessDetector(), work, tmp_path / "out", options=options())
    assert summary.statuses == {"done": 2, "refused": 1}


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/3/4", ""])
def test_shards_that_cannot_be_are_refused(text):
    with pytest.raises(InputError, match="shard"):
        Shard.parse(text)


SCRIPT = """
import sys
from pathlib import Path

from medmask.inference import PredictionOptions, images_of_files, predict_images
from toy_image_detector import BrightnessDetector

if __name__ == "__main__":  # workers import this file, too
    images = images_of_files(sorted(Path(sys.argv[1]).iterdir()))
    options = PredictionOptions(overlays=False, workers=2, batch_size=2)
    predict_images(BrightnessDetector(seconds=0.02), images, Path(sys.argv[2]), options=options)
"""


@pytest.fixture
def run_and_kill(forked_python, images, tmp_path):
    """Predicts in a process of its own, and kills it some time after so many images are done."""
    program = tmp_path / "predict.py"
    program.write_text(SCRIPT)
    paths = [str(FIXTURES.parents[1]), str(FIXTURES), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def run(output, wanted, seconds):
        process = forked_python.start([program, images[0].path.parent, output], env=environment)
        while len(done_paths(output)) < wanted and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        process.wait()

    return run


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 10))]
)
def test_kills_with_workers_lose_and_double_nothing(run_and_kill, images, whole, tmp_path, seed):
    draw, output = random.Random(seed), tmp_path / "out"
    chosen = options(workers=2, batch_size=2)
    done = []
    for _ in range(3):
        wanted = min(len(done) + draw.randrange(1, 10), len(images) - 1)
        run_and_kill(output, wanted, draw.random() * 0.03)
        before, done = done, done_paths(output)
        assert done[: len(before)] == before
    assert done
    summary = predict_images(BrightnessDetector(), images, output, options=chosen)
    assert (summary.images, summary.done_before, summary.problems) == (30, len(done), ())
    assert sorted(done_paths(output)) == [image.real_path for image in images]
    assert contents(output) == contents(whole)
