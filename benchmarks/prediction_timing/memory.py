"""Memory of a run over many images: links to a few, so that disk and time stay small."""

import os
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from detectron2.structures import Instances

from medmask.inference import PredictionImage, PredictionOptions, WorkList, predict_images
from medmask.inference.detector import Detector

_SAMPLES = 20
_SETTLED = 0.25  # of the images; before, caches and workers fill


def measure_memory(
    detector: Detector,
    images: Sequence[PredictionImage],
    links: int,
    folder: Path,
    options: PredictionOptions,
) -> dict[str, Any]:
    """Predict on links, and look at memory on the way.

    Args:
        detector: the detector.
        images: that the links lead to in turn.
        links: how many.
        folder: an empty folder for links and predictions.
        options: of the run.

    Returns:
        ``samples``, [images done, MiB of this process and its workers] each, and ``growth_mib``
        from the first quarter of the images to the last image.
    """
    (folder / "links").mkdir()
    with open(folder / "manifest.csv", "w") as file:
        file.write("path\n")
        for index, image in enumerate(islice(cycle(images), links)):
            name = f"links/{index:08}{image.path.suffix}"
            os.symlink(image.path.absolute(), folder / name)
            file.write(f"{name}\n")
    sampled = SampledDetector(detector, max(1, links // _SAMPLES))
    summary = predict_images(
        sampled, WorkList([folder / "manifest.csv"]), folder / "out", options=options
    )
    settled = [mib for done, mib in sampled.samples if done >= _SETTLED * links]
    return {
        "images": links,
        "statuses": dict(summary.statuses),
        "samples": sampled.samples,
        "growth_mib": settled[-1] - settled[0],
    }


class SampledDetector:
    """A detector that looks at the memory every so many images.

    Attributes:
        samples: images done, and MiB.
    """

    def __init__(self, detector: Detector, every: int) -> None:
        self.labels, self.reader = detector.labels, detector.reader
        self.weights_sha256, self.settings = detector.weights_sha256, detector.settings
        self.samples: list[tuple[int, float]] = []
        self._detector, self._every, self._done = detector, every, 0

    def detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect; see :class:`Detector`."""
        outputs = self._detector.detect(inputs)
        before, self._done = self._done, self._done + len(inputs)
        if before // self._every != self._done // self._every:
            self.samples.append((self._done, resident_mib()))
        return outputs


def resident_mib() -> float:
    """Memory of this process and all that it has started, in MiB; what they share counts often."""
    pages = 0
    for process in _family(os.getpid()):
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _family(process: int) -> list[int]:
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += _family(int(child))
    return found
