"""Images and lesion crops of a data set, read by worker processes, ready for an expert."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from medmask.data.breast import BreastPreprocessing
from medmask.data.dataset_dicts import box_corners, read_dataset_image
from medmask.data.mapper import augment_image
from medmask.data.worker_loader import WorkerLoader
from medmask.experts.image_signature import FileSignature, sign_file
from medmask.experts.preprocessing import (
    Corners,
    ExpertPreprocessing,
    ExpertView,
    lesion_crop,
)


class ExpertInput(NamedTuple):
    """An image and its lesions, ready for the expert."""

    signature: FileSignature
    image: torch.Tensor  # (3, height, width)
    crops: torch.Tensor  # (T, 3, height, width)
    view: ExpertView  # of the image


class ExpertInputs(Dataset[ExpertInput]):
    """The expert's inputs for the images of a data set.

    Args:
        dataset_dicts: of the images.
        preprocessing: of the expert.
        crop_context: side of a lesion's crop relative to the longer side of its box.
        breast_crop: crop images to the breast, as training may; lesions are cut from whole ones.
        breast_window: map the gray levels of the breast to [0, 255], as training may.
    """

    def __init__(
        self,
        dataset_dicts: Sequence[dict[str, Any]],
        preprocessing: ExpertPreprocessing,
        crop_context: float,
        *,
        breast_crop: bool = False,
        breast_window: bool = False,
    ) -> None:
        self.dataset_dicts = dataset_dicts
        self.preprocessing = preprocessing
        self.crop_context = crop_context
        self.window = BreastPreprocessing(crop=False, window=breast_window)
        self.crop_and_window = BreastPreprocessing(crop=breast_crop, window=breast_window)

    def __len__(self) -> int:
        return len(self.dataset_dicts)

    def __getitem__(self, index: int) -> ExpertInput:
        """Read an image.

        Raises:
            InputError: it cannot be read or is not of the recorded size.
        """
        dataset_dict = self.dataset_dicts[index]
        signature = sign_file(dataset_dict["file_name"])
        image = read_dataset_image(dataset_dict, apply_voi=not self.window.window)
        crops = torch.empty(0, 3, *self.preprocessing.size)
        boxes = box_corners(dataset_dict.get("annotations", []))
        if len(boxes):
            whole = augment_image(image, self.window).pixels if self.window.window else image
            lesions = [lesion_crop(whole, box, self.crop_context) for box in boxes]
            crops = torch.stack([self.preprocessing(lesion) for lesion in lesions])
        pixels, region = self._region(image)
        view = ExpertView(region, self.preprocessing.placement(*pixels.shape[:2]))
        return ExpertInput(signature, self.preprocessing(pixels), crops, view)

    def _region(self, image: np.ndarray) -> tuple[np.ndarray, Corners]:
        """The part of an (H, W, 3) image that the expert sees, and its place in the image."""
        if not (self.crop_and_window.crop or self.crop_and_window.window):
            return image, (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        seen = augment_image(image, self.crop_and_window)
        assert seen.original_corners is not None  # as nothing is turned
        return seen.pixels, seen.original_corners


def load_batches(
    inputs: ExpertInputs, shard_sizes: Sequence[int], batch_size: int, num_workers: int
) -> Iterator[list[ExpertInput]]:
    """Load all inputs in order.

    No batch holds images of two shards: then the last bits of a shard's embeddings do not depend on
    where an earlier run was stopped.

    Args:
        inputs: of all shards, one shard after the other.
        shard_sizes: number of images of each shard.
        batch_size: images a batch at most.
        num_workers: worker processes; 0 reads in this one.

    Raises:
        InputError: an image cannot be read or is not of the recorded size.
    """
    ends = itertools.accumulate(shard_sizes)
    batches = [
        range(start, min(start + batch_size, end))
        for size, end in zip(shard_sizes, ends, strict=True)
        for start in range(end - size, end, batch_size)
    ]
    return iter(WorkerLoader(inputs, num_workers=num_workers, batch_sampler=batches))
