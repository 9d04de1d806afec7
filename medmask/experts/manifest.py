"""The manifest of an expert store: how it was made, and whether it is complete."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.experts.prompts import Prompts
from medmask.utils.files import atomic_write

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
"""Raised with every change of the files that an older reader would misread."""

DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class StoreSettings:
    """All that the numbers of a store depend on, besides the images.

    Attributes:
        model: name of the expert.
        weights_sha256: hash of its weights.
        embedding_dim: D.
        patch_grid: (h, w, C) of the patch tokens; None where there are none.
        logit_scale: the expert's factor from cosine similarity to logit.
        preprocessing: how an image becomes the expert's input, in words and numbers.
        prompts: the texts.
        dtype: of the stored embeddings, "float16" or "float32".
    """

    model: str
    weights_sha256: str
    embedding_dim: int
    patch_grid: tuple[int, int, int] | None
    logit_scale: float
    preprocessing: dict[str, Any]
    prompts: Prompts
    dtype: str = "float16"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is '{self.dtype}': choose from {', '.join(DTYPES)}")

    def to_json(self) -> dict[str, Any]:
        settings = {**asdict(self), "prompts": self.prompts.to_groups()}
        return json.loads(json.dumps(settings))  # tuples become lists, as a reader sees them


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says.

    Attributes:
        settings: of the store, in the form of :meth:`StoreSettings.to_json`.
        shard_size: images a shard; the last one may have fewer.
        images: number of images.
        lesions: number of lesion boxes, of a complete store.
        complete: whether all images are in the store.
    """

    settings: dict[str, Any]
    shard_size: int
    images: int
    lesions: int
    complete: bool

    def write(self, folder: Path) -> None:
        """Write the manifest of the store ``folder`` atomically."""
        with atomic_write(folder / MANIFEST, "w") as file:
            json.dump({"format_version": FORMAT_VERSION, **asdict(self)}, file, indent=1)
            file.write("\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the store ``folder``.

    Raises:
        InputError: there is none, or it is not one of this version.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format_version")
        manifest = Manifest(**content)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no expert store: make one by tools/extract_expert_embeddings.py"
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} is not the manifest of an expert store: name another folder"
        ) from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"expert store {folder} has format version {version}, this program reads "
            f"{FORMAT_VERSION}: run tools/extract_expert_embeddings.py again with --overwrite"
        )
    return manifest
