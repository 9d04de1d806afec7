"""All broken images are found before training."""

import cv2
import numpy as np
import pytest

from medmask.data.broken_images import find_broken_images


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
