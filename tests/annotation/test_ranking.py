"""Which images readers see, and in which order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medmask.annotation.options import MEASURES, RankingOptions
from medmask.annotation.patients import find_patients
from medmask.annotation.ranking import rank_images
from medmask.annotation.uncertainty import entropy, margin
from medmask.data import register_coco_dataset
from medmask.dicom_results.predictions import Finding, ScoredImage
from medmask.errors import InputError

BOX = (10.0, 10.0, 20.0, 20.0)


def image(name, *scores, probability=None):
    found = tuple(Finding(BOX, score, "mass") for score in sorted(scores, reverse=True))
    return ScoredImage(Path(name), found, probability=probability)


IMAGES = (
    image("sure", 0.99),
    image("none"),
    image("doubtful", 0.5, 0.02),
    image("near", 0.31),
    image("busy", 0.2, 0.2, 0.2, 0.8),
)


def names(ranking):
    return [str(x.path) for x in ranking.images]


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        (None, ["sure", "none", "doubtful", "near", "busy"]),
        ("entropy", ["busy", "doubtful", "near", "sure", "none"]),
        ("margin", ["near", "busy", "doubtful", "none", "sure"]),
        ("least-confidence", ["doubtful", "near", "busy", "sure", "none"]),
        ("highest-score", ["sure", "busy", "doubtful", "near", "none"]),
    ],
    ids=str,
)
def test_order(measure, wanted):
    ranking = rank_images(IMAGES, RankingOptions(measure=measure))
    assert names(ranking) == wanted
    if measure is not None:
        assert list(ranking.uncertainties) == sorted(ranking.uncertainties, reverse=True)
    first_two = rank_images(IMAGES, RankingOptions(measure=measure, count=2))
    assert names(first_two) == wanted[:2]


def test_values_are_those_of_the_measures():
    scores = [np.array([finding.score for finding in x.findings]) for x in IMAGES]
    found = rank_images(IMAGES, RankingOptions(measure="margin", score_threshold=0.6))
    assert dict(zip(names(found), found.uncertainties, strict=True)) == {
        str(x.path): margin(y, 0.6) for x, y in zip(IMAGES, scores, strict=True)
    }
    found = rank_images(IMAGES, RankingOptions(measure="entropy", least_score=0.25))
    assert dict(zip(names(found), found.uncertainties, strict=True)) == {
        str(x.path): entropy(y[y >= 0.25]) for x, y in zip(IMAGES, scores, strict=True)
    }


def test_random_order_follows_from_the_seed():
    orders = [
        names(rank_images(IMAGES, RankingOptions(measure="random", seed=seed)))
        for seed in (0, 0, 1, 2, 3)
    ]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 2
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_equal_images_keep_their_order():
    images = [image(name, 0.4) for name in "abcdef"]
    for measure in MEASURES:
        if measure not in ("random", "disagreement"):
            assert names(rank_images(images, RankingOptions(measure=measure))) == list("abcdef")


def test_probabilities_take_the_place_of_scores():
    calibrated = [
        image("low", 0.9, probability=0.5),
        image("high", 0.5, probability=0.95),
    ]
    ranked = rank_images(calibrated, RankingOptions(measure="least-confidence"))
    assert names(ranked) == ["low", "high"]
    findings = (replace(IMAGES[0].findings[0], probability=0.5),)
    first = replace(IMAGES[0], findings=findings)
    ranked = rank_images([first], RankingOptions(measure="entropy"))
    assert ranked.uncertainties == (1.0,)


class TestDisagreement:
    def test_puts_the_image_first_on_which_predictions_differ(self):
        others = [
            image("busy", 0.2, 0.2, 0.2, 0.8),
            image("sure"),
            image("near", 0.3),
            image("none"),
            image("doubtful", 0.5),
        ]
        ranked = rank_images(IMAGES, RankingOptions(measure="disagreement"), others=others)
        # the second detection of "doubtful" scores too low to count
        assert names(ranked) == ["sure", "near", "none", "doubtful", "busy"]
        assert ranked.uncertainties == pytest.approx((1, 1 - 0.3 / 0.31, 0, 0, 0))

    def test_needs_the_same_images(self):
        with pytest.raises(InputError, match="have none of image none"):
            rank_images(IMAGES, RankingOptions(measure="disagreement"), others=[image("sure")])


class TestPatients:
    """By entropy: busy, doubtful and near, of patient B, then sure and none, of patient A."""

    OPTIONS = RankingOptions(measure="entropy")
    PATIENTS = ("A", "A", "B", "B", "B")

    @pytest.mark.parametrize(
        ("patients", "wanted"),
        [
            ("all", ["busy", "doubtful", "near", "sure", "none"]),
            ("spread", ["busy", "sure", "doubtful", "none", "near"]),
            ("one", ["busy", "sure"]),
        ],
        ids=["all", "spread", "one"],
    )
    def test_choice(self, patients, wanted):
        options = replace(self.OPTIONS, patients=patients)
        assert names(rank_images(IMAGES, options, patients=self.PATIENTS)) == wanted
        options = replace(options, count=1)
        assert names(rank_images(IMAGES, options, patients=self.PATIENTS)) == ["busy"]

    def test_of_headers(self, predictions):
        patients = find_patients(predictions.images)
        assert len(set(patients)) == 1
        assert len(patients) == 4

    def test_that_are_not_told(self, tmp_path, write_dicom):
        pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
        for path in (write_dicom(pixels), tmp_path / "a.png"):
            with pytest.raises(InputError, match="does not tell its patient: give --dataset"):
                find_patients([ScoredImage(path, ())])

    def test_of_a_data_set(self, coco_content, write_tree):
        """Images 1 and 3 are of patient P1, 2 of P0; one without a patient is its own."""
        coco_content["images"][2]["patient_id"] = None
        json_file, root = write_tree(coco_content)
        name = f"patients_{json_file.parents[1].name}"
        register_coco_dataset(name, json_file, root)
        images = [ScoredImage(root / f"{number}.png", ()) for number in (3, 1, 2)]
        assert find_patients(images, name) == ["image 3", "patient P1", "patient P0"]
        with pytest.raises(InputError, match="is none of the data set"):
            find_patients([ScoredImage(root / "4.png", ())], name)


@pytest.mark.parametrize(
    "options",
    [
        {"measure": "x"},
        {"count": 0},
        {"patients": "x"},
        {"least_score": 2},
        {"score_threshold": -1},
        {"seed": -1},
    ],
    ids=["measure", "count", "patients", "least", "threshold", "seed"],
)
def test_options_out_of_range(options):
    with pytest.raises(InputError):
        RankingOptions(**options)
