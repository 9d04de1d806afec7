"""The node as a user starts it, in a process of its own."""

import signal

import pytest

from medmask.phantom import PhantomParameters, make_phantom_dataset

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import Client, RecordingDestination
from fresh_runs import write_fresh_run
from node_process import NodeProcess


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_fresh_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_phantom_dataset(
        root,
        PhantomParameters(width=96, height=128),
        split_sizes={"val": 4},
        domains=["film"],
        file_format="dicom",
    )
    return sorted(root.rglob("*.dcm"))


def test_studies_are_answered_after_a_kill_and_until_a_signal_comes(checkpoint, images, tmp_path):
    with (
        RecordingDestination() as destination,
        NodeProcess(
            tmp_path, destination.port, "--checkpoint", checkpoint,
            *("--quiet-seconds", "2", "--objects", "report", "cad"),
        ) as node,
    ):  # fmt: skip
        node.start()
        node.wait_until_listening()
        assert Client(node.port).send(images) == [0] * len(images)
        node.kill()
        node.start()
        node.wait_until_listening()
        destination.wait_for(2)
        assert node.stop() == 128 + signal.SIGTERM
        assert "is answered: 2 objects are at PACS" in node.log()
        assert "Traceback" not in node.log()
        (kinds,) = destination.kinds().values()
        assert kinds == {"report": 1, "cad": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--checkpoint", "absent.pth"], "checkpoint absent.pth does not exist"),
        (["--host", "0.0.0.0"], "needs a list of the AE titles that may connect"),
        (["--destination", "PACS"], "is not of the form TITLE@HOST:PORT"),
        (["--title", "A\\B"], "1 to 16 printable ASCII characters and no backslash"),
        (["--tls-key", "key.pem"], "--tls-certificate and --tls-key go together"),
        (["--tls-authorities", "ca.pem"], "--tls-authorities needs"),
        (["--destination-tls"], "sending by TLS needs"),
        (["--quiet-seconds", "nan"], "quiet_seconds must be at least 0"),
        (["--max-object-mib", "nan"], "'nan' is no size"),
        (["--min-free-gib", "inf"], "'inf' is no size"),
        (["--max-associations", "0"], "max_associations must be at least 1"),
        (["--port", "70000"], "a port is in [0, 65535]"),
        (["--keep-days", "-1"], "keep_days must be at least 0"),
        (["--retry-seconds", "900"], "retry_seconds must be at most 600"),
    ],
    ids=lambda value: value[0].lstrip("-") if isinstance(value, list) else "",
)
def test_refusals(run_tool, checkpoint, tmp_path, options, words):
    done = run_tool(
        "dicom_node.py", "--spool", tmp_path / "spool", "--destination", "PACS@127.0.0.1:104",
        "--checkpoint", checkpoint, *options,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
