import argparse
import hashlib
from dataclasses import dataclass

import pytest
from calibrations import write_calibration

from medmask.commands import dicom_node, pacs, predict
from medmask.commands.operating_point import (
    add_operating_point_options,
    apply_calibration,
    read_operating_point,
)
from medmask.errors import InputError


@dataclass(frozen=True)
class Predictor:
    """What a calibration has to fit."""

    weights_sha256: str = hashlib.sha256(b"weights").hexdigest()
    config: str = "c"
    nms_iou: float | None = 0.1

    def settings(self):
        return {"config": self.config}


@pytest.fixture
def checkpoint(tmp_path):
    """The file of weights, with a calibration beside it."""
    write_calibration(tmp_path / "calibration.json", Predictor.weights_sha256)
    return tmp_path / "model.pth"


@pytest.fixture
def find(checkpoint):
    def find_by_options(*options, **differences):
        parser = argparse.ArgumentParser()
        add_operating_point_options(parser, score_threshold=0.3, shown="what is drawn")
        args = parser.parse_args(list(map(str, options)))
        args.model, args.checkpoint = None, checkpoint
        stored = read_operating_point(args)
        return apply_calibration(stored, args, Predictor(**differences))

    return find_by_options


def test_calibration_beside_the_weights_or_by_name(find, checkpoint):
    assert find() is None
    assert find("--operating-point", "0.3").threshold == 0.25
    elsewhere = checkpoint.with_name("other.json")
    checkpoint.with_name("calibration.json").rename(elsewhere)
    assert find("--operating-point", "0.3", "--calibration", elsewhere).fpi == 0.3
    with pytest.raises(InputError, match=r"calibration\.json does not exist: make it with"):
        find("--operating-point", "0.3")


def test_what_does_not_fit_is_refused(find, checkpoint):
    with pytest.raises(InputError, match="--calibration needs --operating-point"):
        find("--calibration", "calibration.json")
    with pytest.raises(InputError, match="no threshold at 2 false positives"):
        find("--operating-point", "2")
    with pytest.raises(InputError, match="another config"):
        find("--operating-point", "0.3", config="d")
    with pytest.raises(InputError, match=r"--nms-iou 0\.1, not none"):
        find("--operating-point", "0.3", nms_iou=None)
    with pytest.raises(InputError, match="is the calibration of other weights"):
        find("--operating-point", "0.3", weights_sha256="0" * 64)


def test_calibration_is_read_before_the_model_and_not_again(checkpoint):
    parser = argparse.ArgumentParser()
    add_operating_point_options(parser, score_threshold=0.3, shown="what is drawn")
    args = parser.parse_args(["--operating-point", "0.3"])
    args.model, args.checkpoint = None, checkpoint
    stored = read_operating_point(args)
    checkpoint.with_name("calibration.json").write_text("another")
    assert apply_calibration(stored, args, Predictor()).threshold == 0.25


def test_two_thresholds_are_refused(find, capsys):
    with pytest.raises(SystemExit):
        find("--operating-point", "0.3", "--score-threshold", "0.5")
    assert "not allowed with argument --operating-point" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "options"),
    [
        (predict.main, ("scan.dcm", "--output", "out")),
        (pacs.main, ("--url", "http://localhost:1", "--output", "out", "--patient-id", "1")),
        (dicom_node.main, ("--spool", "out", "--destination", "PACS@localhost:1")),
    ],
    ids=["predict", "pacs", "dicom_node"],
)
def test_commands_refuse_before_they_load_the_model(checkpoint, capsys, main, options):
    checkpoint.write_bytes(b"")  # which could not be loaded
    options = [*options, "--checkpoint", str(checkpoint)]
    for more, words in (
        (["--operating-point", "2"], "has no threshold at 2 false positives per image"),
        (["--operating-point", "1", "--calibration", "none.json"], "none.json does not exist"),
        (["--calibration", "none.json"], "--calibration needs --operating-point"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([*options, *more])
        assert caught.value.code == 2
        assert words in capsys.readouterr().err
