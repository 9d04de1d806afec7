"""The manifest of an expert store: the settings that all of its numbers depend on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.experts.checksums import Checksum, hash_json, read_hashed_json, write_hashed_json
from medmask.experts.options import DTYPES
from medmask.experts.prompts import Prompts

MANIFEST = "manifest.json"
FORMAT_VERSION = 4
"""Raised with every change of the files that an older reader would misread."""


@dataclass(frozen=True)
class StoreSettings:
    """Everything but the images that the numbers of a store depend on.

    Attributes:
        model: name of the expert.
        weights_sha256: hash of its weights.
        embedding_dim: D.
        patch_grid: (h, w, C) of the patch tokens; None where there are none.
        logit_scale: the expert's factor from cosine similarity to logit; None if it reads no texts.
        preprocessing: the way from an image to the expert's input, in words and numbers.
        prompts: the texts; None if the expert reads none.
        dtype: of the stored embeddings, "float16" or "float32".
    """

    model: str
    weights_sha256: str
    embedding_dim: int
    patch_grid: tuple[int, int, int] | None
    logit_scale: float | None
    preprocessing: dict[str, Any]
    prompts: Prompts | None
    dtype: str = "float16"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is '{self.dtype}': choose from {', '.join(DTYPES)}")

    def to_json(self) -> dict[str, Any]:
        """Turn the settings into JSON values; equal ones mean equal settings."""
        groups = None if self.prompts is None else self.prompts.to_groups()
        settings = {**asdict(self), "prompts": groups}
        return json.loads(json.dumps(settings))  # tuples become lists, as a reader sees them

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "StoreSettings":
        """Invert :meth:`to_json`."""
        grid, groups = content["patch_grid"], content["prompts"]
        return cls(
            **{
                **content,
                "patch_grid": None if grid is None else tuple(grid),
                "prompts": None if groups is None else Prompts.from_groups(groups),
            }
        )

    def fingerprint(self) -> str:
        """Hash the settings and the version of the format, to tell whose a shard is."""
        return hash_json([FORMAT_VERSION, self.to_json()])


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    Attributes:
        settings: of the store.
        shard_size: images a shard; the last one may have fewer.
        images: number of images in the data set.
        prompts: checksum of the prompts' embeddings.
    """

    settings: StoreSettings
    shard_size: int
    images: int
    prompts: Checksum

    @property
    def number_of_shards(self) -> int:
        return -(-self.images // self.shard_size)

    def write(self, folder: Path) -> None:
        """Write the manifest of the store ``folder`` atomically."""
        content = {"format_version": FORMAT_VERSION, "settings": self.settings.to_json()}
        content |= {"shard_size": self.shard_size, "images": self.images, "prompts": self.prompts}
        write_hashed_json(folder / MANIFEST, content)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the store ``folder``.

    Raises:
        InputError: there is none, it is not one of this version, or it was edited.
    """
    path = folder / MANIFEST
    try:
        content = read_hashed_json(path)
    except FileNotFoundError:
        within = sorted(str(path.parent) for path in folder.glob(f"*/{MANIFEST}"))
        advice = "make one by medmask extract-embeddings"
        if within:  # which makes a store for each data set
            advice = f"name those in it, such as {within[0]}"
        raise InputError(f"{folder} holds no expert store: {advice}") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not the manifest of an expert store, or was edited or damaged ({error}): "
            "name another folder, or make the store anew by medmask extract-embeddings "
            "--overwrite"
        ) from None
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"expert store {folder} has format version {version}, this program reads "
            f"{FORMAT_VERSION}: run medmask extract-embeddings again with --overwrite"
        )
    return Manifest(
        settings=StoreSettings.from_json(content["settings"]),
        shard_size=content["shard_size"],
        images=content["images"],
        prompts=Checksum(*content["prompts"]),
    )
