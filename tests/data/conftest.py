import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def coco_content() -> dict[str, Any]:
    """A sound annotation file: three images of 100 x 80 (width x height), the last negative."""
    return {
        "images": [
            {
                "id": number,
                "file_name": f"{number}.png",
                "width": 100,
                "height": 80,
                "patient_id": f"P{number % 2}",
                "laterality": "L",
                "view": "CC",
            }
            for number in (1, 2, 3)
        ],
        "annotations": [
            _annotation(11, 1, [10, 5, 20, 30]),
            _annotation(12, 1, [50, 40, 25.5, 20]),
            _annotation(13, 2, [0, 0, 100, 80]),
        ],
        "categories": [{"id": 7, "name": "mal"}],
    }


def _annotation(number: int, image: int, box: list[float]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 7,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
    }


@pytest.fixture
def write_tree(tmp_path):
    """Writes a COCO tree with random grey images; gives (annotation file, image folder)."""

    def write(
        content: dict[str, Any],
        json_file: str = "annotations/instances_train.json",
        image_root: str = "images/train",
    ) -> tuple[Path, Path]:
        json_path, image_path = tmp_path / json_file, tmp_path / image_root
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(content))
        for number, image in enumerate(content["images"]):
            path = image_path / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            size = int(image["height"]), int(image["width"])
            pixels = np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        return json_path, image_path

    return write


@pytest.fixture
def write_dicom(tmp_path):
    """Writes pixels (H, W) or (frames, H, W) as a DICOM file; keywords set further elements."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as Mammography
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(
        pixels: np.ndarray, *, compression: str | None = None, name: str = "image.dcm", **elements
    ) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = Mammography
        uid = generate_uid(entropy_srcs=[name])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        if pixels.ndim == 3:
            dataset.NumberOfFrames = len(pixels)
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = 8 * pixels.itemsize
        dataset.BitsStored = elements.pop("BitsStored", dataset.BitsAllocated)
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.PixelData = pixels.tobytes()
        if compression is not None:
            dataset.compress(compression, generate_instance_uid=False)
        path = tmp_path / name
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write
