"""A frozen foundation model from open_clip: images, lesion crops and texts to one space.

This is the only module that imports open_clip, and it does so when an expert is loaded: training
reads what experts have written, and runs without it.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from medmask.errors import InputError
from medmask.experts.inference_mode import inference_mode, to_unit_length
from medmask.experts.preprocessing import ExpertPreprocessing
from medmask.experts.weights_hash import hash_weights
from medmask.utils.json_files import parse_object

logger = logging.getLogger(__name__)

_HUB, _LOCAL = "hf-hub:", "local-dir:"
_CONFIG = "open_clip_config.json"
_TOWER_CONFIG = "config.json"
"""of transformers, of a text tower that open_clip has from there"""


class OpenClipExpert:
    """A frozen open_clip model in evaluation mode.

    On a GPU it computes in half precision, on the CPU in float32.

    Attributes:
        name: the model's name, as open_clip knows it.
        weights_sha256: hash of its weights, whatever file they came from.
        embedding_dim: D.
        patch_grid: (h, w, C) of the vision tower's last patch tokens; None where it offers none.
        logit_scale: its factor from cosine similarity to logit.
        preprocessing: from an image to its input.
    """

    def __init__(
        self, name: str, checkpoint: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        """Load a model.

        Args:
            name: a model that open_clip has built in ("ViT-B-32"), one of the hub
                ("hf-hub:organization/model"), or a folder that holds ``open_clip_config.json``, the
                weights and, where the text tower needs them, the tokenizer and the tower's
                ``config.json`` ("local-dir:folder").
            checkpoint: a file of weights, or the name of weights that open_clip offers for a
                built-in model ("laion2b_s34b_b79k"). None takes those of the hub or the folder.
            device: where to compute.

        Raises:
            InputError: open_clip is not installed, the hub is out of reach, or there is no such
                model or checkpoint, or the checkpoint does not fit the model, or the model's config
                has code of its own run.
        """
        open_clip = import_open_clip()
        model = _create_model(open_clip, name, checkpoint).eval().requires_grad_(False)
        self.name = name
        self.weights_sha256 = hash_weights(model)
        self.logit_scale = float(model.logit_scale.float().exp())
        self.preprocessing = ExpertPreprocessing.from_open_clip(model.visual.preprocess_cfg)
        self._device = torch.device(device)
        self._model = model.to(self._device)
        self._tokenizer = _create_tokenizer(open_clip, name)
        self.patch_grid = self._find_patch_grid()
        self.embedding_dim = self.encode_texts(["breast"]).shape[1]

    def encode_images(self, images: torch.Tensor) -> np.ndarray:
        """Embed images.

        Args:
            images: (B, 3, height, width), as ``preprocessing`` gives them.

        Returns:
            (B, D) float32, length 1.
        """
        with inference_mode(self._device):
            embeddings = self._model.encode_image(images.to(self._device))
            return to_unit_length(embeddings)

    def encode_images_and_patches(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Embed images and their patches; only where ``patch_grid`` is not None.

        Args:
            images: (B, 3, height, width), as ``preprocessing`` gives them.

        Returns:
            (B, D) float32 embeddings of length 1, and (B, h, w, C) float32 patch tokens, which are
            the vision tower's own: after its last normalization, before its projection.
        """
        with inference_mode(self._device):
            embeddings, tokens = self._run_vision_tower(images.to(self._device))
            return to_unit_length(embeddings), tokens.float().cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: (K, D) float32, length 1."""
        with inference_mode(self._device):
            tokens = self._tokenizer(list(texts)).to(self._device)
            return to_unit_length(self._model.encode_text(tokens))

    def _run_vision_tower(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, D) features and (B, h, w, C) tokens of the last block."""
        output = self._model.visual.forward_intermediates(
            images, indices=1, normalize_intermediates=True, output_fmt="NCHW"
        )
        return output["image_features"], output["image_intermediates"][-1].permute(0, 2, 3, 1)

    def _find_patch_grid(self) -> tuple[int, int, int] | None:
        """Try the vision tower on a gray image.

        Towers differ in what they offer and in how they say that they offer nothing, and what one
        computes on the way to its patch tokens need not be what it computes without.
        """
        image = torch.zeros(1, 3, *self.preprocessing.size, device=self._device)
        with inference_mode(self._device):
            expected = self._model.encode_image(image).float()
            try:
                features, tokens = self._run_vision_tower(image)
                is_same = torch.allclose(features.float(), expected, rtol=1e-2, atol=1e-3)
            except Exception as error:
                logger.info("%s offers no patch tokens (%s)", self.name, error)
                return None
        height, width, channels = tokens.shape[1:]
        return (height, width, channels) if is_same else None


def import_open_clip() -> ModuleType:
    try:
        import open_clip
    except ImportError as error:
        raise InputError(
            "experts need open_clip, which is not installed: pip install open_clip_torch"
        ) from error
    return open_clip


def _create_model(open_clip: ModuleType, name: str, checkpoint: str | None) -> Any:
    """The model with its weights, on the CPU in float32; one of open_clip's modules."""
    is_file = checkpoint is not None and Path(checkpoint).is_file()
    if not is_file:
        _check_offered(open_clip, name, checkpoint)
    try:
        model = open_clip.create_model(
            name,
            pretrained=None if is_file else checkpoint,
            load_weights=not is_file,
            pretrained_text=False,  # the weights of the whole model follow
            require_pretrained=not is_file,  # else open_clip may go on with random weights
            **_text_tower_of_folder(name),
        )
        if is_file:
            open_clip.load_checkpoint(model, checkpoint, weights_only=True)
    except Exception as error:  # the hub, the towers and the file formats raise errors of all kinds
        raise _explain(error, name, checkpoint) from error
    return model


def _text_tower_of_folder(name: str) -> dict[str, Any]:
    """Have a text tower of transformers find its config in the folder of the model.

    open_clip looks for it where the model's config says, in a repository of the tower's own.
    """
    folder, tower = Path(name.removeprefix(_LOCAL)), _find_text_tower(name)
    if tower is None or not (folder / _TOWER_CONFIG).is_file():
        return {}
    here = {"hf_model_name": str(folder), "hf_model_pretrained": False}
    return {"text_cfg": _read_text_config(folder) | here}


def _find_text_tower(name: str) -> str | None:
    """Name the repository of the text tower that a model in a folder has from transformers."""
    if not name.startswith(_LOCAL):
        return None
    tower = _read_text_config(Path(name.removeprefix(_LOCAL))).get("hf_model_name")
    return tower if isinstance(tower, str) and not Path(tower).is_dir() else None


def _read_text_config(folder: Path) -> dict[str, Any]:
    """Read the part on texts of a model's config; empty if there is none, which open_clip tells."""
    try:
        content = parse_object((folder / _CONFIG).read_bytes()) or {}
        return dict(content["model_cfg"]["text_cfg"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _check_offered(open_clip: ModuleType, name: str, checkpoint: str | None) -> None:
    """Raise an InputError unless open_clip has weights of this name for the model."""
    if name.startswith((_HUB, _LOCAL)):
        if checkpoint is not None:
            raise InputError(f"checkpoint {checkpoint} does not exist or is not a file")
        return
    if open_clip.get_model_config(name) is None:
        raise InputError(
            f"open_clip has no model '{name}': choose one of open_clip.list_models(), or give "
            f"{_HUB}ORGANIZATION/MODEL or {_LOCAL}FOLDER"
        )
    offered = open_clip.list_pretrained_tags_by_model(name)
    if checkpoint not in offered:
        given = "none was given" if checkpoint is None else f"'{checkpoint}' is neither"
        raise InputError(
            f"expert '{name}' needs a checkpoint, a file or one that open_clip offers for it "
            f"({', '.join([*offered[:5], '...'])}): {given}"
        )


def _explain(error: Exception, name: str, checkpoint: str | None) -> InputError:
    reason = str(error).strip() or type(error).__name__
    weights = "the weights" if checkpoint is None else f"checkpoint {checkpoint}"
    if "loading state_dict" in reason:
        first = "; ".join(line.strip() for line in reason.splitlines()[1:3])
        return InputError(f"{weights} and the model '{name}' do not fit each other: {first[:200]}")
    reason = reason.splitlines()[0][:200]
    if isinstance(error, ImportError) or "transformers" in reason:
        return InputError(
            f"expert '{name}' needs a package that is not installed ({reason}): "
            "pip install transformers"
        )
    if name.startswith(_HUB) and checkpoint is None:
        return InputError(
            f"expert '{name}' cannot be fetched from the hub ({reason}): check the name and the "
            f"network, or copy the model's folder here and name it as {_LOCAL}FOLDER"
        )
    tower = _find_text_tower(name)
    if tower is not None and not Path(name.removeprefix(_LOCAL), _TOWER_CONFIG).is_file():
        return InputError(
            f"expert '{name}' has a text tower whose config is looked for on the hub ({reason}): "
            f"copy the {_TOWER_CONFIG} of {tower} into the folder"
        )
    return InputError(f"expert '{name}' cannot be loaded from {weights} ({reason})")


def _create_tokenizer(open_clip: ModuleType, name: str) -> Callable[[Sequence[str]], torch.Tensor]:
    """Turns K texts into (K, L) int64 tokens."""
    try:
        if _asks_for_code(open_clip.get_model_config(name)):
            raise InputError(
                f"the tokenizer of expert '{name}' would run code that comes with the model "
                f"(tokenizer_kwargs.trust_remote_code in its {_CONFIG}), which could do anything: "
                "remove that entry, or choose another expert"
            )
        return open_clip.get_tokenizer(name)
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"the tokenizer of expert '{name}' cannot be loaded ({reason})") from error


def _asks_for_code(config: dict[str, Any] | None) -> bool:
    """Tell whether a model's config has transformers run code from the folder or the hub."""
    options = ((config or {}).get("text_cfg") or {}).get("tokenizer_kwargs") or {}
    return bool(options.get("trust_remote_code"))
