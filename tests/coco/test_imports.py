"""The evaluation of files starts within a second, so the reader of annotations must be light."""

import os
import subprocess
import sys
from pathlib import Path


def test_coco_needs_neither_pytorch_nor_detectron2():
    program = "import sys, medmask.coco; print({'torch', 'detectron2', 'cv2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == "set()"
