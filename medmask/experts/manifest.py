"""The manifest of an expert store: how it was made, and whether it is complete."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, parse_checksums
from medmask.experts.prompts import Prompts
from medmask.utils.files import atomic_write

MANIFEST = "manifest.json"
FORMAT_VERSION = 2
"""Raised with every change of the files that an older reader would misread."""

_OWN_CHECKSUM = "sha256"

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
        checksums: of a complete store's other files, by their paths in its folder.
    """

    settings: dict[str, Any]
    shard_size: int
    images: int
    lesions: int
    complete: bool
    checksums: dict[str, Checksum]

    @property
    def number_of_shards(self) -> int:
        return -(-self.images // self.shard_size)

    def write(self, folder: Path) -> None:
        """Write the manifest of the store ``folder`` atomically."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        with atomic_write(folder / MANIFEST, "w") as file:
            json.dump({**content, _OWN_CHECKSUM: _hash(content)}, file, indent=1)
            file.write("\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the store ``folder``.

    Raises:
        InputError: there is none, it is not one of this version, or it was edited.
    """
    path = folder / MANIFEST
    try:
        if path.exists() and not path.is_file():
            raise ValueError("no regular file")
        content = json.loads(path.read_text(encoding="utf-8"))
        own_checksum = content.pop(_OWN_CHECKSUM, None)
        version = content["format_version"]
        is_ours = type(version) is int
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no expert store: make one by tools/extract_expert_embeddings.py"
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise InputError(
            f"{path} is not the manifest of an expert store, or damaged: name another folder, or "
            "make the store anew by tools/extract_expert_embeddings.py --overwrite"
        )
    if version != FORMAT_VERSION:
        raise InputError(
            f"expert store {folder} has format version {version}, this program reads "
            f"{FORMAT_VERSION}: run tools/extract_expert_embeddings.py again with --overwrite"
        )
    try:
        if own_checksum != _hash(content):
            raise ValueError("another content than was written")
        del content["format_version"]
        checksums = parse_checksums(content.pop("checksums"))
        return Manifest(**content, checksums=checksums)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} was edited or is damaged ({error}): make the store anew by "
            "tools/extract_expert_embeddings.py --overwrite"
        ) from None


def _hash(content: dict[str, Any]) -> str:
    """The SHA-256 of a manifest's content, however it is laid out in the file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
