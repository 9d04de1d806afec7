"""Names of the pictures of a run of predictions."""

from collections.abc import Iterable
from pathlib import Path

from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_parts import PartsReader
from medmask.utils.picture_names import picture_names


class OverlayNames:
    """The name of each image's picture, the same for all shards.

    Pictures that are drawn already keep their names.
    """

    def __init__(self, images: Iterable[PredictionImage], parts: PartsReader) -> None:
        """Name pictures.

        Args:
            images: of all shards.
            parts: what was predicted on before.
        """
        sources = {image.key: image.picture_source for image in images}
        drawn = {}
        for key in parts.places:
            overlay = parts.read(key).overlay
            if overlay is not None:
                drawn[key] = Path(overlay).name
        taken = {name.casefold() for name in drawn.values()}
        self._names = dict(drawn)
        for key, name in zip(sources, picture_names(list(sources.values())), strict=True):
            if key not in drawn:
                self._names[key] = _make_unique(name, taken)

    def of(self, key: str) -> str:
        """Name the picture of the image with a key."""
        return self._names[key]


def _make_unique(name: str, taken: set[str]) -> str:
    """Append a number to a name that is taken; the result is taken from then on."""
    unique, number = name, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{Path(name).stem}_{number}.png"
    taken.add(unique.casefold())
    return unique
