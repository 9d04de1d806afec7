"""Round trips that are killed at any moment go on: nothing lost, nothing scored or stored twice."""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter

import pytest
import torch
from spot_detector import SpotDetector

from medmask.dicom_results.options import ResultOptions
from medmask.dicomweb.client import DicomwebClient
from medmask.dicomweb.connection import Connection, ConnectionOptions
from medmask.dicomweb.study_filter import StudyFilter
from medmask.pacs.options import RoundTripOptions
from medmask.pacs.round_trip import make_round_trip

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

OBJECTS_OF_A_STUDY = 1 + 4


class SlowDetector(SpotDetector):
    def detect(self, inputs):
        time.sleep(0.02)
        return super().detect(inputs)


def make(archive, output):
    options = ConnectionOptions(timeout=30, retries=1, first_wait=0.01)
    return make_round_trip(
        DicomwebClient(Connection(archive.url, options=options)),
        SlowDetector(),
        StudyFilter(study_date="20260101-"),
        output,
        RoundTripOptions(ResultOptions(objects=("report", "presentation")), store=True),
        lambda line: None,
    )


def run_and_kill(archive, output, requests, seconds):
    """Make the trip in a child process, and kill it some time after it sent some requests."""
    before = len(archive.requests)
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        with contextlib.suppress(BaseException):
            make(archive, output)
        os._exit(0)
    while len(archive.requests) - before < requests and not os.waitid(
        os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
    ):
        time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def finished_images(output):
    """Images of all records of predictions, by the lines that are complete."""
    images = []
    for path in output.rglob("predictions.jsonl"):
        *lines, _ = path.read_bytes().split(b"\n")
        images += [json.loads(line)["path"] for line in lines[1:]]
    return images


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(i, marks=pytest.mark.slow) for i in range(4, 40))]
)
def test_kills_at_any_time(archive, dated_studies, tmp_path, seed):
    archive.add_files(dated_studies)
    draw = random.Random(seed)
    for _ in range(4):
        run_and_kill(archive, tmp_path, draw.randrange(30), draw.random() * 0.2)
    summary = make(archive, tmp_path)
    assert (summary.statuses, summary.problems) == (Counter(stored=2), ())
    assert (summary.images, summary.objects) == (8, 2 * OBJECTS_OF_A_STUDY)
    # nothing but the images and one set of results, whatever was stored again
    kinds = Counter(found.modality for found in archive.objects.values())
    assert kinds == {"MG": 8, "SR": 2, "PR": 8}
    # no image was scored again once that was written down
    images = finished_images(tmp_path)
    assert sorted(images) == sorted(set(images))
    assert len(images) == 8
    lines = (tmp_path / "studies.jsonl").read_text().splitlines()[1:]
    assert sorted(json.loads(line)["status"] for line in lines) == ["stored", "stored"]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".part")]
    assert not list(tmp_path.rglob("images/*.dcm"))
