"""All broken images are found before training."""

import os
import signal

import cv2
import numpy as np
import pytest

from medmask.data import broken_images
from medmask.data.broken_images import find_broken_images
from medmask.errors import InputError


@pytest.mark.parametrize("num_workers", [0, 2])
def test_all_broken_images_are_named_and_no_other(tmp_path, num_workers):
    dataset_dicts = []
    for i in range(20):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((8, 6), 40 + i, np.uint8))
        dataset_dicts.append({"file_name": str(path), "height": 8, "width": 6})
    content = (tmp_path / "7.png").read_bytes()
    (tmp_path / "7.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "11.png").unlink()
    dataset_dicts[13]["width"] = 7
    faults = find_broken_images(dataset_dicts, num_workers)
    assert len(faults) == 3
    assert all(f"{name}.png" in fault for name, fault in zip((7, 11, 13), faults, strict=True))


def test_images_are_read_with_the_window_of_the_training(write_dicom):
    pixels = np.arange(48, dtype=np.uint16).reshape(8, 6)
    blank = write_dicom(pixels, WindowCenter=90000, WindowWidth=2)
    record = {"file_name": str(blank), "height": 8, "width": 6}
    (fault,) = find_broken_images([record], 0)
    assert blank.name in fault
    assert not find_broken_images([record], 0, apply_voi=False)


def test_death_of_a_process_that_reads_is_told(monkeypatch):
    def die(dataset_dict, apply_voi):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(broken_images, "read_dataset_image", die)
    with pytest.raises(InputError, match="a worker process that loads images was killed"):
        find_broken_images([{"file_name": "0.png"}], 1)
