"""The node as a user starts it, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from medmask.config import load_config
from medmask.phantom import PhantomParameters, make_phantom_dataset

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import Client, RecordingDestination

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"
PATHS = (str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]))
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Fresh weights, whose boxes are anywhere."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config(str(CONFIG))
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, folder / "model.pth")
    LazyConfig.save(config, str(folder / "config.yaml"))
    return folder / "model.pth"


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


def test_studies_are_answered_until_a_signal_comes(checkpoint, images, tmp_path):
    with RecordingDestination() as destination:
        process = subprocess.Popen(
            [
                sys.executable, "tools/dicom_node.py", "--spool", str(tmp_path / "spool"),
                "--destination", f"PACS@127.0.0.1:{destination.port}", "--port", "0",
                "--checkpoint", str(checkpoint), "--device", "cpu", "--quiet-seconds", "0.5",
                "--min-free-gib", "0", "--objects", "report", "cad",
            ],
            cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            port = next(
                int(match[1])
                for line in process.stderr
                if (match := re.search(r"MEDMASK listens on 127\.0\.0\.1:(\d+)", line))
            )
            assert Client(port).send(images) == [0] * len(images)
            destination.wait_for(2)
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 128 + signal.SIGTERM, log
        assert "is answered: 2 objects are at PACS" in log
        assert "Traceback" not in log
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
        (["--max-associations", "0"], "max_associations must be at least 1"),
        (["--port", "70000"], "a port is in [0, 65535]"),
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
