"""Views of an exam: which are related, and scores against a slow version of the definition."""

import json
import math
import shutil

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from painted_mammograms import paint_mammogram

from medmask.commands.combine_views import make_parser, run
from medmask.data import register_coco_dataset
from medmask.data.breast import BreastFrame
from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    RelatedViews,
    ViewSettings,
    combine_views,
    find_related_views,
)

FRAME = BreastFrame(nipple=(0.0, 0.0), size=100.0)


def image(patient, side, view, **fields):
    return {"patient_id": patient, "laterality": side, "view": view, **fields}


def detections(*rows):
    """Rows of (image, category, score, x, y): boxes of no size at a place of FRAME, in percent."""
    return Detections(
        boxes=np.array([[x, y, x, y] for *_, x, y in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([row[2] for row in rows], dtype=np.float64),
        image_indices=np.array([row[0] for row in rows], dtype=np.int64),
        category_indices=np.array([row[1] for row in rows], dtype=np.int64),
    )


def test_the_four_views_of_an_exam():
    views = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
    related = find_related_views([image(17, side, view) for side, view in views])
    assert related.ipsilateral == ((1,), (0,), (3,), (2,))
    assert related.contralateral == ((2,), (3,), (0,), (1,))


@pytest.mark.parametrize("separator", ["", " ", "-", "_"])
def test_views_may_repeat_the_side(separator):
    views = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
    related = find_related_views(
        [image(17, side, f"{side}{separator}{view}") for side, view in views]
    )
    assert related.ipsilateral == ((1,), (0,), (3,), (2,))
    assert related.contralateral == ((2,), (3,), (0,), (1,))
    # lateromedial is a view of both breasts, and LMO not MO of the left one
    views = [("L", "LM"), ("R", "LM"), ("L", "LMO"), ("R", "LMO"), ("R", "RLM"), ("L", "LLM")]
    related = find_related_views([image(17, side, view) for side, view in views])
    assert related.contralateral == ((1, 4), (0, 5), (3,), (2,), (0, 5), (1, 4))


def test_exams_patients_and_images_that_tell_too_little_stay_apart():
    related = find_related_views(
        [
            image(1, "L", "MLO", study_date="2010"),
            image(1, "L", "CC", study_date="2012"),
            image(1, "L", " cc", study_date="2010"),  # as some headers have it
            image(2, "L", "CC", study_date="2010"),
            image(1, "L", "MLO", study_date="2010"),  # once more, as after a movement
            image(None, "R", "MLO", study_date="2010"),
            image(1, None, "MLO", study_date="2010"),
            image(1, "R", "", study_date="2010"),
            {},
            image(3, "R", "MLO", study_date=20100102),
            image(3, "R", "CC", study_date="20100102"),
            image(4, "R", "MLO"),
            image(4, "R", "CC", study_date=""),
            image(5, "R", "MLO", study_date=["2010"]),
            image(6, "R", "MLO", study_date=20100102.0),  # as pandas writes a column with gaps
            image(6, "R", "CC", study_date=20100102),
            image(6, "R", "nan", study_date=20100102),
            image(7, "R", "MLO", study_date="nan"),
            image(7, "R", "CC", study_date=math.nan),
        ]
    )
    assert related.ipsilateral == (
        *((2,), (), (0, 4), (), (2,), (), (), (), ()),
        *((10,), (9,), (12,), (11,), (), (15,), (14,), (), (18,), (17,)),
    )
    assert not any(related.contralateral)
    assert find_related_views([]).is_empty()


def combine_slowly(rows, related, settings):
    """Scores by the definition, one detection at a time."""

    def logit(score):
        score = min(max(score, 1e-6), 1 - 1e-6)
        return math.log(score / (1 - score))

    def nearness(a, b, reach, both):
        squares = (abs(a[3]) - abs(b[3])) ** 2 + (a[4] - b[4]) ** 2 * both
        return math.exp(-squares / 1e4 / (2 * reach**2))

    def evidence(d, images, reach, both):
        if not images:
            return 0
        support = settings.least_score
        mine = [row for row in rows if row[:2] == d[:2]]
        for e in rows:
            if e[0] in images and e[1] == d[1]:
                fits = [row[2] * nearness(row, e, reach, both) for row in mine]
                near = nearness(d, e, reach, both)
                share = d[2] * near / max(fits) if max(fits) > 0 else 0
                support = max(support, e[2] * near * share)
        return logit(support) - logit(settings.unknown_score)

    scores = []
    for d in rows:
        change = settings.ipsilateral_weight * evidence(
            d, related.ipsilateral[d[0]], settings.ipsilateral_reach, both=False
        ) - settings.contralateral_weight * evidence(
            d, related.contralateral[d[0]], settings.contralateral_reach, both=True
        )
        scores.append(1 / (1 + math.exp(-logit(d[2]) - change)) if change else d[2])
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_the_definition(seed):
    random = np.random.default_rng(seed)
    number = 40 if seed else 0
    rows = [
        (int(i), int(c), float(s), float(x), float(y))
        for i, c, s, x, y in zip(
            random.integers(0, 5, number),
            random.integers(0, 2, number),
            random.choice([0.0, 0.02, 0.1, 0.5, 0.9, 1.0], number),
            random.uniform(-60, 60, number),
            random.uniform(-50, 50, number),
            strict=True,
        )
    ]
    views = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"), ("R", "ML")]
    related = find_related_views([image("p", *each) for each in views])
    settings = ViewSettings(ipsilateral_weight=0.7, contralateral_reach=0.3, least_score=0.05)
    given = detections(*rows)
    combined = combine_views(given, related, [FRAME] * 5, settings)
    np.testing.assert_allclose(combined.scores, combine_slowly(rows, related, settings), atol=1e-12)
    assert ((combined.scores >= 0) & (combined.scores <= 1)).all()
    assert combined.boxes is given.boxes
    assert combined.image_indices is given.image_indices


PAIR = RelatedViews(ipsilateral=((1,), (0,), ()), contralateral=((), (), ()))
SIDES = RelatedViews(ipsilateral=((), (), ()), contralateral=((1,), (0,), ()))


def test_what_both_views_have_gains_and_what_one_has_loses():
    given = detections(
        (0, 0, 0.4, 30, 0), (0, 0, 0.4, 90, 0), (1, 0, 0.4, 30, 40), (2, 0, 0.4, 0, 0)
    )
    confirmed, alone, other, elsewhere = combine_views(given, PAIR, [FRAME] * 3).scores
    assert confirmed == other > 0.4 > alone
    assert elsewhere == 0.4


def test_what_both_breasts_have_loses_and_what_one_has_gains():
    given = detections((0, 0, 0.4, 30, 0), (0, 0, 0.4, 30, 90), (1, 0, 0.4, 30, 0))
    both, alone, other = combine_views(given, SIDES, [FRAME] * 3).scores
    assert both == other < 0.4 < alone


def test_a_finding_supports_the_one_that_fits_it_best():
    """A weaker one at the same depth gets its share, so that it does not rise with the other."""
    given = detections((0, 0, 0.6, 30, 0), (0, 0, 0.1, 30, 40), (1, 0, 0.9, 30, 0))
    strong, weak, _ = combine_views(given, PAIR, [FRAME] * 3).scores
    assert strong > 0.6
    alone = combine_views(given.select([1, 2]), PAIR, [FRAME] * 3).scores[0]
    assert weak < alone


def test_images_without_a_breast_are_related_to_none():
    given = detections((0, 0, 0.4, 30, 0), (1, 0, 0.4, 30, 0))
    with pytest.raises(InputError, match="no two images are views of one exam in which a breast"):
        combine_views(given, PAIR, [FRAME, None, FRAME])


@pytest.mark.filterwarnings("error")
def test_boxes_anywhere_and_the_greatest_weights_have_scores():
    far = 1.7e308
    given = detections((0, 0, 1.0, far, far), (1, 0, 0.0, far, -far), (1, 0, 1.0, 30, 0))
    settings = ViewSettings(ipsilateral_weight=10, contralateral_weight=10, least_score=1e-9)
    both = RelatedViews(PAIR.ipsilateral, SIDES.contralateral)
    scores = combine_views(given, both, [FRAME] * 3, settings).scores
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"ipsilateral_weight": -1},
        {"contralateral_weight": 2000},
        {"ipsilateral_reach": 0},
        {"contralateral_reach": math.nan},
        {"least_score": 0},
        {"unknown_score": 1},
    ],
)
def test_senseless_settings_are_refused(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))} is "):
        ViewSettings(**changes)


@pytest.fixture
def exam(tmp_path):
    """A left breast in two views, with a detection at the same depth in each and another in one."""
    records = []
    for number, view in enumerate(("CC", "MLO"), 1):
        pixels, _ = paint_mammogram(400, 300)
        cv2.imwrite(str(tmp_path / f"{view}.png"), pixels)
        size = {"width": 300, "height": 400}
        records.append(image("p", "L", view, id=number, file_name=f"{view}.png", **size))
    truth = {
        "images": records,
        "categories": [{"id": 1, "name": "lesion"}],
        "annotations": [],
    }
    found = [
        {"image_id": number, "category_id": 1, "bbox": [x, y, 20, 20], "score": 0.4}
        for number, x, y in ((1, 60, 150), (2, 60, 250), (1, 150, 200))
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def call(exam, *options):
    given = ["--detections", str(exam / "found.json"), "--output", str(exam / "combined.json")]
    run(make_parser().parse_args([*given, *options]))
    return [record["score"] for record in json.loads((exam / "combined.json").read_text())]


def test_the_command_writes_what_evaluations_read(exam, capsys):
    truth = ["--annotations", str(exam / "truth.json"), "--images", str(exam)]
    confirmed, other, alone = call(exam, *truth)
    assert alone < 0.4 < confirmed
    assert confirmed == pytest.approx(other)
    told = (
        "2 of 2 images with other views, 2 with one of the same breast and 0 with one of the other"
    )
    assert f"3 boxes; {told}\n" in capsys.readouterr().out
    assert call(exam, *truth, "--ipsilateral-weight", "0") == [0.4] * 3


def test_the_command_tells_of_exams_that_are_parted(exam, capsys):
    """One breast's views are of two exams, by dates that are written in two ways."""
    content = json.loads((exam / "truth.json").read_text())
    left = content["images"]
    right = [record | {"id": record["id"] + 2, "laterality": "R"} for record in left]
    for record in right:
        record["file_name"] = f"R{record['view']}.png"
        shutil.copy(exam / f"{record['view']}.png", exam / record["file_name"])
    for record in left + right:
        record["study_date"] = {"CC": "2026-01-02", "MLO": "20260102"}[record["view"]]
    (exam / "truth.json").write_text(json.dumps(content | {"images": left + right}))
    call(exam, "--annotations", str(exam / "truth.json"), "--images", str(exam))
    told = "0 with one of the same breast and 4 with one of the other"
    assert f"4 of 4 images with other views, {told}\n" in capsys.readouterr().out


def test_the_command_refuses_images_of_another_size(exam):
    """The boxes would lie elsewhere in them."""
    content = json.loads((exam / "truth.json").read_text())
    for record in content["images"]:
        record |= {"width": 600, "height": 800}
    (exam / "truth.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"CC\.png is 300 x 400 .* file says 600 x 800"):
        call(exam, "--annotations", str(exam / "truth.json"), "--images", str(exam))


def test_the_command_leaves_the_annotations_of_a_registered_set_alone(exam, request):
    truth = exam / "truth.json"
    register_coco_dataset("combined_exam", truth, exam)
    request.addfinalizer(lambda: DatasetCatalog.remove("combined_exam"))
    request.addfinalizer(lambda: MetadataCatalog.remove("combined_exam"))
    before = truth.read_bytes()
    with pytest.raises(InputError, match="--output and --dataset combined_exam are both"):
        call(exam, "--dataset", "combined_exam", "--output", str(truth))
    assert truth.read_bytes() == before
    with pytest.raises(InputError, match="'combined_exma' is not registered"):
        call(exam, "--dataset", "combined_exma")


def test_the_command_names_what_is_missing(exam):
    truth = ["--annotations", str(exam / "truth.json")]
    with pytest.raises(InputError, match="--annotations and --images need each other"):
        call(exam, *truth)
    content = json.loads((exam / "truth.json").read_text())
    del content["images"][0]["view"]
    (exam / "truth.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="image records need patient_id, laterality, view"):
        call(exam, *truth, "--images", str(exam))
    (exam / "MLO.png").unlink()
    with pytest.raises(InputError, match=r"image 2 \(MLO\.png\) is not in"):
        call(exam, *truth, "--images", str(exam))
    assert not (exam / "combined.json").exists()


def test_the_command_takes_a_registered_set(exam, mammogram_trees, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(mammogram_trees))
    (exam / "found.json").write_text("[]")
    assert call(exam, "--dataset", "inbreast_lesion_heldout") == []
