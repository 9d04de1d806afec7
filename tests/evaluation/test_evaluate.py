import json

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.evaluation import (
    EvaluationSettings,
    average_precision,
    evaluate_detections,
    format_table,
    result_to_json,
    write_json,
)
from medmask.evaluation.bootstrap import draw_patients, resampled_sensitivity
from medmask.evaluation.matching import localize
from medmask.evaluation.settings import CPM_POINTS
from medmask.utils.counts import counted

BOX = (0, 0, 40, 40)
ASIDE = (100, 100, 140, 140)


@pytest.fixture
def small_case(build_case):
    """Two patients, four images, lesions found at 0.9 and 0.5, false positives between."""
    return build_case(
        4,
        lesions=[(0, 0, *BOX), (2, 0, *BOX)],
        detections=[
            (0, 0, *BOX, 0.9),
            (0, 0, 2, 0, 42, 40, 0.8),  # suppressed: overlaps the first
            (1, 0, *ASIDE, 0.7),
            (2, 0, *ASIDE, 0.6),
            (2, 0, *BOX, 0.5),
        ],
        patients=["a", "a", "b", "b"],
        lateralities=["L", "R", "L", "R"],
    )


def test_result_of_a_small_set(small_case):
    settings = EvaluationSettings(operating_points=(0, 0.25, 0.5), bootstrap=200, score=0.65)
    result = evaluate_detections(*small_case, settings)
    assert result.sensitivity.tolist() == [0.5, 0.5, 1]
    assert result.counts.detections == 5
    assert result.counts.detections_after_nms == 4
    assert (result.counts.images, result.counts.lesions, result.counts.patients) == (4, 2, 2)
    assert (result.counts.images_with_lesions, result.counts.breasts) == (2, 4)
    assert result.images.auc == 0.75  # 0.9 and 0.6 against 0.7 and 0
    assert (result.images.best_f1.score, result.images.best_f1.f1) == (0.6, 0.8)
    assert result.images.at_score.sensitivity == 0.5
    assert result.breasts.auc == 0.75
    # Resamples are of patient a alone, of b alone, or of both.
    assert result.intervals.tolist() == [[0, 1], [0, 1], [1, 1]]
    assert ["only 2 patients" in sentence for sentence in result.warnings] == [True, True, False]


def test_suppression_can_be_left_out(small_case):
    result = evaluate_detections(*small_case, EvaluationSettings(nms_iou=None, bootstrap=0))
    assert result.counts.detections_after_nms == 5
    assert result.intervals is None
    assert result.band is None
    assert result.images.auc_interval is None


def test_iou_rule_is_stricter_than_the_center_rule(build_case):
    case = build_case(1, [(0, 0, *BOX)], [(0, 0, 15, 15, 25, 25, 0.9)])
    center = evaluate_detections(*case, EvaluationSettings(bootstrap=0))
    overlap = evaluate_detections(*case, EvaluationSettings(bootstrap=0, iou_threshold=0.5))
    assert center.sensitivity[0] == 1
    assert overlap.sensitivity[0] == 0
    assert overlap.curve.false_positives[-1] == 1


def test_ignored_detections_do_not_score_their_image(build_case):
    case = build_case(1, [(0, 0, *BOX)], [(0, 0, *BOX, 0.9), (0, 0, *ASIDE, 0.3)], crowd=[True])
    result = evaluate_detections(*case, EvaluationSettings(bootstrap=0, score=0.5))
    assert result.images.at_score.specificity == 1
    assert (result.counts.lesions, result.counts.ignored_regions) == (0, 1)
    assert result.curve.false_positives[-1] == 1


def test_categories_are_matched_apart_and_pooled(build_case):
    case = build_case(
        2,
        [(0, 0, *BOX), (1, 1, *BOX), (1, 1, *ASIDE)],
        [(0, 0, *BOX, 0.9), (1, 0, *BOX, 0.8), (1, 1, *ASIDE, 0.7)],
        num_categories=2,
    )
    settings = EvaluationSettings(operating_points=(0, 0.5), bootstrap=0)
    result = evaluate_detections(*case, settings)
    assert result.sensitivity.tolist() == pytest.approx([1 / 3, 2 / 3])
    first, second = result.categories
    assert (first.lesions, first.sensitivity.tolist()) == (1, [1, 1])
    assert (second.lesions, second.sensitivity.tolist()) == (2, [0.5, 0.5])
    assert "category 1" in format_table(result)


def test_interval_and_band_hold_the_curve(random_case):
    result = evaluate_detections(*random_case(23), EvaluationSettings(bootstrap=300))
    low, high = result.intervals.T
    assert ((low <= result.sensitivity) & (result.sensitivity <= high)).all()
    assert (result.band.lower <= result.band.upper).all()
    assert (np.diff(result.band.upper) >= 0).all()
    again = evaluate_detections(*random_case(23), EvaluationSettings(bootstrap=300))
    np.testing.assert_array_equal(result.intervals, again.intervals)


def test_interval_of_cpm_is_that_of_its_resamples(small_case):
    truth, detections = small_case
    settings = EvaluationSettings(nms_iou=None, bootstrap=300)
    result = evaluate_detections(truth, detections, settings)
    patients = truth.patient_groups()
    weights = draw_patients(int(patients.max()) + 1, 300, settings.seed)
    found = localize(truth, detections)
    samples = resampled_sensitivity(found, patients, weights, CPM_POINTS).mean(axis=1)
    low, high = np.nanquantile(samples, [0.025, 0.975])
    np.testing.assert_allclose(result.cpm_interval, [low, high])
    assert low < result.cpm <= high
    assert f"CPM {result.cpm:.3f} ({low:.3f} to {high:.3f}), the mean" in format_table(result)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bootstrap", [0, 20])
def test_any_result_is_strict_json_and_a_table(random_case, tmp_path, seed, bootstrap):
    ground_truth, detections = random_case(seed)
    result = evaluate_detections(ground_truth, detections, EvaluationSettings(bootstrap=bootstrap))
    ap = average_precision(ground_truth, detections)
    write_json(tmp_path / "froc.json", result_to_json(result, ap))

    def fail(token):
        raise AssertionError(f"{token} is not JSON")

    content = json.loads((tmp_path / "froc.json").read_text(), parse_constant=fail)
    assert len(content["fpi"]) == len(content["sensitivity"]) == 9
    if bootstrap:
        assert len(content["intervals"]) == 9
    else:
        assert content["intervals"] is content["cpm_interval"] is None
    undefined = [value is None for value in content["sensitivity"]]
    assert undefined == [ground_truth.num_lesions == 0] * 9
    assert content["curve"]["score"][0] is None
    assert f"{counted(ground_truth.num_lesions, 'lesion')} in" in format_table(result, ap)


def test_undefined_interval_of_cpm_is_left_out(build_case):
    result = evaluate_detections(*build_case(2, [], []))
    assert "CPM undefined, the mean" in format_table(result)
    assert result_to_json(result)["cpm_interval"] is None


def test_warns_of_what_is_undefined(build_case):
    case = build_case(3, [], [(0, 0, *BOX, 0.5)], lateralities=["L", "R", "L"])
    result = evaluate_detections(*case)
    text = " ".join(result.warnings)
    assert "None of the 3 images has a lesion" in text
    single = evaluate_detections(*build_case(1, [], []))
    assert "The image has no lesion" in single.warnings[0]
    assert "AUC" in text
    assert "3 of 3 images without a patient_id" in text
    assert "Breast-level metrics are left out" in text
    assert result.curve.fpi[-1] == pytest.approx(1 / 3)


def case_of_patients(build_case, num_patients, num_with_lesions):
    """Two images of each patient, one of which has a lesion, found, in the first patients."""
    images = range(0, 2 * num_with_lesions, 2)
    return build_case(
        2 * num_patients,
        lesions=[(image, 0, *BOX) for image in images],
        detections=[(image, 0, *BOX, 0.9) for image in images],
        patients=[index // 2 for index in range(2 * num_patients)],
    )


@pytest.mark.parametrize(("num_with_lesions", "told"), [(1, "only 1 patient,"), (9, "only 9 pat")])
def test_warns_of_few_patients_with_lesions(build_case, num_with_lesions, told):
    case = case_of_patients(build_case, 44, num_with_lesions)
    few, equal = evaluate_detections(*case).warnings
    assert told in few
    assert "with a lesion" in few
    assert "both ends of an interval are equal" in equal
    assert evaluate_detections(*case, EvaluationSettings(bootstrap=0)).warnings == ()


def test_warns_of_intervals_of_one_value(build_case):
    truth, detections = case_of_patients(build_case, 44, 12)
    (equal,) = evaluate_detections(truth, detections).warnings  # all are found in all resamples
    assert "both ends of an interval are equal" in equal
    some = detections.select(np.arange(len(detections)) % 2 == 0)
    assert evaluate_detections(truth, some).warnings == ()


def test_warns_of_a_single_patient(build_case):
    result = evaluate_detections(*build_case(2, [(0, 0, *BOX)], [], patients=["a", "a"]))
    assert result.sensitivity.tolist() == [0] * 9
    assert any("one patient" in sentence for sentence in result.warnings)


@pytest.mark.parametrize(
    "setting",
    [
        {"operating_points": ()},
        {"operating_points": (-0.1,)},
        {"operating_points": (float("nan"),)},
        {"operating_points": (1e30,)},  # counts of false positives would overflow
        {"iou_threshold": 0.0},
        {"nms_iou": 1.5},
        {"bootstrap": -1},
        {"seed": -1},
        {"score": float("nan")},
        {"score": 50},
        {"bootstrap": 10**12},
        {"bootstrap": 1.5},
        {"seed": 10**400},
    ],
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match="must be"):
        EvaluationSettings(**setting)
