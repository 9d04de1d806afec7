"""Many studies at once with faulty objects among them: every good one is answered."""

import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import Client, RecordingDestination
from fresh_runs import write_fresh_run
from node_process import NodeProcess
from node_studies import (
    FAULTS,
    IMAGES,
    NOT_TAKEN,
    REFUSED,
    SET_ASIDE,
    faulty,
    study_uid,
    write_studies,
)

from medmask.node.study_status import ANSWERED, FAILED, StudyStatus, read_status

CLIENTS = 4
OBJECTS_A_STUDY = 2 + 2 * IMAGES


def send_with_storescu(port: int, files: list[Path]) -> int:
    """Send by dcmtk's client; how many objects were acknowledged."""
    done = subprocess.run(
        [
            *("storescu", "-v", "-nh", "-R", "-xv", "-aet", "DCMTK", "-aec", "MEDMASK"),
            *("127.0.0.1", str(port), *map(str, files)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stderr.count("Received Store Response (Success)") + done.stdout.count(
        "Received Store Response (Success)"
    )


def send_with_pynetdicom(port: int, files: list[Path]) -> int:
    return Client(port).send(files).count(0)


@pytest.fixture(params=["pynetdicom", "storescu"])
def send(request) -> Callable[[int, list[Path]], int]:
    if request.param == "pynetdicom":
        return send_with_pynetdicom
    if not has_dcmtk():
        pytest.skip("dcmtk's storescu is not installed")
    return send_with_storescu


def has_dcmtk() -> bool:
    """Whether ``storescu`` is dcmtk's, for pynetdicom installs a program of that name, too."""
    if shutil.which("storescu") is None:
        return False
    said = subprocess.run(["storescu", "--version"], capture_output=True, text=True).stdout
    return "dcmtk" in said.lower()


def put_in(study: Path, kind: str) -> None:
    """Add a faulty object to a study, in the midst of its images."""
    first = min(study.glob("*.dcm"))
    faulty(first, kind).save_as(first.with_name(f"{first.stem}_{kind.replace(' ', '_')}.dcm"))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "count",
    [17, pytest.param(200, marks=pytest.mark.slow)],
    ids=["17-studies", "200-studies"],
)
def test_every_good_study_is_answered(send, tmp_path, count):
    good = write_studies(tmp_path, count)
    kinds = {study: FAULTS[number % len(FAULTS)] for number, study in enumerate(good[:-1:2])}
    for study, kind in kinds.items():
        put_in(study, kind)
    for path in good[-1].glob("*.dcm"):  # one study has nothing but broken images
        faulty(path, "cut off").save_as(path)
    bad, good = good[-1], good[:-1]

    with RecordingDestination() as destination:
        node = NodeProcess(
            tmp_path, destination.port, "--checkpoint", write_fresh_run(tmp_path),
            *("--quiet-seconds", "4", "--max-object-mib", "1", "--retry-seconds", "0.2"),
        )  # fmt: skip
        with node:
            node.start()
            node.wait_until_listening()
            files = [sorted(study.glob("*.dcm")) for study in [*good, bad]]
            with ThreadPoolExecutor(CLIENTS) as pool:
                taken = sum(pool.map(lambda each: send(node.port, each), files))
            set_aside = [study for study, kind in kinds.items() if kind in SET_ASIDE]
            assert taken == IMAGES * count + len(set_aside)
            destination.wait_for(OBJECTS_A_STUDY * len(good), 1200)
            statuses = wait_for_ends(node, {study_uid(study) for study in [*good, bad]})
            node.stop()

    expected = {"report": 1, "cad": 1, "presentation": IMAGES, "capture": IMAGES}
    assert destination.kinds() == {study_uid(study): expected for study in good}
    assert set(destination.times.values()) == {1}
    assert [statuses[study_uid(study)].state for study in good] == [ANSWERED] * len(good)
    for study in good:
        problems = statuses[study_uid(study)].problems
        assert len(problems) == (study in set_aside), problems
    assert statuses[study_uid(bad)].state == FAILED
    assert len(statuses[study_uid(bad)].problems) == IMAGES

    log = node.log()
    refused = sum(kind in REFUSED for kind in kinds.values())
    assert log.count("is refused: ") == refused
    assert log.count("are not taken") == sum(kind in NOT_TAKEN for kind in kinds.values())
    assert "Traceback" not in log
    print(
        f"{count} studies, {len(kinds)} faulty objects in {len(kinds)} of them, {taken} objects "
        f"acknowledged, {refused} refused, {len(set_aside)} set aside, {len(good)} answered"
    )


def wait_for_ends(node: NodeProcess, uids: set[str]) -> dict[str, StudyStatus]:
    """The statuses of all studies once each is at its end."""
    deadline = time.monotonic() + 240
    while True:
        statuses = {
            path.parent.name: read_status(path) for path in node.spool.glob("studies/*/status.json")
        }
        if {x.state for x in statuses.values()} <= {ANSWERED, FAILED} and uids == statuses.keys():
            return statuses
        assert time.monotonic() < deadline, statuses
        time.sleep(0.1)
