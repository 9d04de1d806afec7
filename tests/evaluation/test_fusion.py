"""Weighted box fusion, against a slow version that follows its definition word by word."""

import itertools
import json

import numpy as np
import pytest

from medmask.commands.fuse_detections import make_parser, run
from medmask.errors import InputError
from medmask.evaluation import Detections, fuse_detections, read_detections, read_ground_truth


def detections(*rows):
    """Rows of (image, category, score, box)."""
    return Detections(
        boxes=np.array([row[3] for row in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([row[2] for row in rows], dtype=np.float64),
        image_indices=np.array([row[0] for row in rows], dtype=np.int64),
        category_indices=np.array([row[1] for row in rows], dtype=np.int64),
    )


def random_detections(random, number):
    corners = random.uniform(0, 30, (number, 2))
    return Detections(
        boxes=np.hstack((corners, corners + random.uniform(1, 25, (number, 2)))),
        scores=random.choice([0.0, 0.1, 0.25, 0.5, 0.75, 1.0], number),
        image_indices=random.integers(0, 3, number),
        category_indices=random.integers(0, 2, number),
    )


def rows_of(result):
    return [
        (int(i), int(c), float(s), tuple(b))
        for i, c, s, b in zip(
            result.image_indices,
            result.category_indices,
            result.scores,
            result.boxes.tolist(),
            strict=True,
        )
    ]


def iou(a, b):
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def fuse_slowly(models, threshold):
    result = []
    for image, category in itertools.product(range(3), range(2)):
        boxes = [
            (-score, model, place, box)
            for model, each in enumerate(models)
            for place, (i, c, score, box) in enumerate(rows_of(each))
            if (i, c) == (image, category)
        ]
        findings = []  # lists of (model, score, box)

        def mean(finding):
            weights = [score for _, score, _ in finding]
            if not sum(weights):
                return finding[0][2]
            return tuple(np.average([box for *_, box in finding], axis=0, weights=weights))

        for negative, model, _, box in sorted(boxes):
            free = [f for f in findings if model not in [m for m, *_ in f]]
            overlaps = [iou(mean(f), box) for f in free]
            if overlaps and max(overlaps) > threshold:
                free[int(np.argmax(overlaps))].append((model, -negative, box))
            else:
                findings.append([(model, -negative, box)])
        for finding in findings:
            score = sum(score for _, score, _ in finding) / len(models)
            result.append((image, category, score, mean(finding)))
    return result


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("sizes", [(25,), (20, 30), (0, 12, 25), (30, 30, 30)])
def test_fused_boxes_are_those_of_the_definition(sizes, threshold):
    random = np.random.default_rng(sum(sizes))
    models = [random_detections(random, size) for size in sizes]
    fused, expected = rows_of(fuse_detections(models, threshold)), fuse_slowly(models, threshold)
    assert len(fused) == len(expected)
    for (*group, score, box), (*other_group, other_score, other_box) in zip(
        fused, expected, strict=True
    ):
        assert group == other_group
        assert score == pytest.approx(other_score)
        assert box == pytest.approx(other_box)


def test_a_model_by_itself_and_models_that_agree_stay_as_they_are():
    one = detections(
        (0, 0, 0.9, (1, 2, 5, 9)), (0, 0, 0.8, (1, 2, 5, 8)), (2, 1, 0.1, (0, 0, 1, 1))
    )
    assert rows_of(fuse_detections([one])) == rows_of(one)
    assert rows_of(fuse_detections([one, one, one])) == [
        pytest.approx((*row[:3], pytest.approx(row[3]))) for row in rows_of(one)
    ]


def test_a_finding_of_one_model_alone_counts_for_its_share():
    first = detections((0, 0, 0.8, (0, 0, 10, 10)), (0, 0, 0.6, (50, 50, 60, 60)))
    second = detections((0, 0, 0.4, (0, 0, 10, 13)))
    boxes = rows_of(fuse_detections([first, second]))
    assert boxes == [
        (0, 0, pytest.approx(0.6), pytest.approx((0, 0, 10, 11))),
        (0, 0, pytest.approx(0.3), (50, 50, 60, 60)),
    ]


def test_no_detections_are_legal():
    fused = fuse_detections([detections(), detections()])
    assert len(fused) == 0
    assert fused.boxes.shape == (0, 4)


def test_nothing_and_senseless_thresholds_are_refused():
    with pytest.raises(InputError, match="nothing to fuse"):
        fuse_detections([])
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="but must lie in"):
            fuse_detections([detections()], threshold)


@pytest.fixture
def files(tmp_path):
    """Annotations of two images, and detections of two models by names and by ids."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 90, "height": 90} for i in (7, 8)]
    categories = [{"id": 3, "name": "malignant"}]
    truth = {"images": images, "categories": categories, "annotations": []}
    by_id = [{"image_id": 8, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.8}]
    by_name = [
        {"file_name": "8.png", "category_name": "malignant", "bbox": [0, 0, 10, 13], "score": 0.4}
    ]
    paths = []
    for name, content in (("truth", truth), ("a", by_id), ("b", by_name)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


def test_the_command_writes_what_evaluations_read(files, tmp_path, capsys):
    truth, first, second = files
    output = tmp_path / "fused.json"
    given = ["--annotations", str(truth), "--detections", str(first), str(second)]
    run(make_parser().parse_args([*given, "--output", str(output)]))
    (record,) = json.loads(output.read_text())
    assert record["image_id"] == 8
    assert record["file_name"] == "8.png"
    assert record["category_id"] == 3
    assert record["bbox"] == pytest.approx([0, 0, 10, 11])
    assert record["score"] == pytest.approx(0.6)
    assert "1 + 1 boxes of 2 models fused to 1" in capsys.readouterr().out
    run(make_parser().parse_args([*given, "--iou", "0.9", "--output", str(output)]))
    assert len(json.loads(output.read_text())) == 2


def test_the_command_overwrites_no_input(files):
    truth, first, second = map(str, files)
    given = ["--annotations", truth, "--detections", first, second, "--output", second]
    with pytest.raises(InputError, match=f"--output and --detections {second} are both {second}"):
        run(make_parser().parse_args(given))


def test_the_command_takes_no_file_for_two_models(files, tmp_path):
    truth, first, second = files
    (tmp_path / "link.json").symlink_to(first)
    paths = [str(path) for path in (first, second, tmp_path / "link.json")]
    given = ["--annotations", str(truth), "--output", str(tmp_path / "out.json")]
    with pytest.raises(InputError, match=r"--detections names .*link\.json twice"):
        run(make_parser().parse_args([*given, "--detections", *paths]))
    assert not (tmp_path / "out.json").exists()


class TestWithoutAnnotations:
    """The detections tell images and categories themselves."""

    @pytest.fixture
    def fuse(self, tmp_path):
        def fuse(*models):
            paths = []
            for number, records in enumerate(models):
                paths.append(str(tmp_path / f"{number}.json"))
                (tmp_path / f"{number}.json").write_text(json.dumps(records))
            output = tmp_path / "fused.json"
            run(make_parser().parse_args(["--output", str(output), "--detections", *paths]))
            return json.loads(output.read_text())

        return fuse

    BY_ID = {"image_id": 8, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.8}
    BY_NAME = {"file_name": "a/8.png", "category_name": "mass", "bbox": [0, 0, 9, 9], "score": 0.4}

    def test_by_ids(self, fuse):
        other = {**self.BY_ID, "image_id": 7}
        named = {**self.BY_ID, "file_name": "a/8.png", "category_name": "malignant"}
        again = {**named, "file_name": "/data/a/8.png", "category_name": "mal"}
        first, second = fuse([self.BY_ID, other], [named], [again])
        assert {**first, "score": 0} == {**named, "score": 0}
        assert first["score"] == pytest.approx(0.8)
        assert second["image_id"] == 7
        assert second["score"] == pytest.approx(0.8 / 3)

    def test_by_names(self, fuse):
        # an empty id, as of an empty cell of a table, is none
        other = {**self.BY_NAME, "file_name": "b/8.png", "image_id": ""}
        first, second = fuse([self.BY_NAME], [self.BY_NAME, other])
        for record, score, wanted in ((first, 0.4, self.BY_NAME), (second, 0.2, other)):
            wanted = {**wanted, "image_id": None, "category_id": None}
            assert {**record, "score": 0} == {**wanted, "score": 0}
            assert record["score"] == pytest.approx(score)

    def test_categories_without_a_name_have_none_after_it(self, fuse, files, tmp_path):
        fused = fuse([self.BY_ID], [self.BY_ID])
        assert fused[0]["category_name"] is None
        truth = read_ground_truth(files[0])  # which names the category
        assert len(read_detections(tmp_path / "fused.json", truth)) == 1

    def test_no_detections_are_legal(self, fuse):
        assert fuse([], []) == []

    @pytest.mark.parametrize(
        ("first", "second", "words"),
        [
            (BY_ID, BY_NAME, "give --annotations"),
            (BY_NAME, {**BY_NAME, "category_id": 3}, "not all detections have category_id, nor"),
            (BY_NAME, {**BY_NAME, "file_name": "/data/a/8.png"}, "may be one image"),
            (BY_NAME, {**BY_NAME, "file_name": 8}, "a file_name of the detections is not text"),
            (
                {**BY_ID, "file_name": "a.png"},
                {**BY_ID, "file_name": "b.png"},
                'image_id 8 is both "a.png" and "b.png"',
            ),
            (
                {**BY_ID, "category_name": "mass"},
                {**BY_ID, "category_name": "calcification"},
                "category_id 3 is both",
            ),
            (
                {**BY_ID, "file_name": "a.png"},
                {**BY_ID, "file_name": "a.png", "image_id": 1008},
                'image_id 8 and 1008 of the detections are both "a.png": give --annotations',
            ),
            (
                {**BY_ID, "file_name": "a/8.png"},
                {**BY_ID, "file_name": "/data/a/8.png", "image_id": 1008},
                "may be one image: give --annotations",
            ),
            (
                {**BY_ID, "category_name": "malignant"},
                {**BY_ID, "category_name": "cancer", "category_id": 4},
                'category_id 3 and 4 of the detections are both "cancer": give --annotations',
            ),
            (
                BY_ID,
                {**BY_ID, "image_id": "8"},
                'image_id 8 and "8" of the detections may be one: give --annotations',
            ),
            (BY_ID, "no record", "record 0 is not an object"),
            (BY_ID, {**BY_ID, "score": 8}, "score 8 is above 1"),
        ],
        ids=range(12),
    )
    def test_what_cannot_be_told_is_refused(self, fuse, first, second, words):
        with pytest.raises(InputError, match=words):
            fuse([first], [second])
