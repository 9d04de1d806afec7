"""What a crash of the machine, not of a process alone, can take from predictions."""

import os

import pytest
from toy_image_detector import BrightnessDetector, write_images

from medmask.inference import (
    PredictionOptions,
    images_of_files,
    part_writer,
    predict_images,
)

OPTIONS = PredictionOptions(overlays=False)


@pytest.fixture
def images(tmp_path):
    return images_of_files(write_images(tmp_path / "in", [20, 40, 60, 80]))


@pytest.fixture
def synced(tmp_path, monkeypatch):
    """Lines of the part that are safe, and whether its mark is there, at each time it is synced."""
    sync, states = os.fsync, []
    part = tmp_path / "out" / "predictions.jsonl"

    def note(descriptor):
        sync(descriptor)
        if part.exists() and os.path.samestat(os.fstat(descriptor), part.stat()):
            lines = part.read_bytes().count(b"\n")
            states.append((lines, part.with_suffix(".finished").exists()))

    monkeypatch.setattr(os, "fsync", note)
    return states


def test_lines_are_safe_before_the_mark_that_all_are_there(images, synced, tmp_path):
    predict_images(BrightnessDetector(), images, tmp_path / "out", options=OPTIONS)
    assert synced == [(1, False), (5, False)]


def test_lines_are_safe_after_some_seconds(images, synced, tmp_path, monkeypatch):
    monkeypatch.setattr(part_writer, "_SYNC_SECONDS", 0.0)
    predict_images(BrightnessDetector(), images, tmp_path / "out", options=OPTIONS)
    assert synced[:5] == [(lines, False) for lines in range(1, 6)]


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_zeros_that_a_file_system_leaves_at_the_end_are_dropped(images, tmp_path, lines):
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    predict_images(BrightnessDetector(), images, whole, options=OPTIONS)
    content = (whole / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    crashed.mkdir()
    (crashed / "predictions.jsonl").write_bytes(b"".join(content[:lines]) + bytes(300))
    detector = BrightnessDetector()
    predict_images(detector, images, crashed, options=OPTIONS)
    assert len(detector.batches) == 4 - max(lines - 1, 0)
    assert (crashed / "predictions.jsonl").read_bytes() == b"".join(content)
    assert (crashed / "detections.json").read_bytes() == (whole / "detections.json").read_bytes()
