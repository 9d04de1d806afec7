"""A frozen network of timm as an expert: any vision transformer or convolutional network.

Networks without texts teach by their patches, and by their embeddings of images and lesions.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medmask.checkpoint.published_file import read_published_file
from medmask.checkpoint.timm_weights import (
    PACKAGE,
    TIMM,
    TimmPart,
    is_timm_address,
    packaged_network,
    read_timm_address,
)
from medmask.errors import InputError
from medmask.experts.inference_mode import inference_mode, to_unit_length
from medmask.experts.preprocessing import ExpertPreprocessing
from medmask.experts.weights_hash import hash_weights
from medmask.modeling.timm_networks import check_name, import_timm
from medmask.modeling.weights import name_first


class TimmExpert:
    """A frozen network of timm in evaluation mode.

    Its embedding of an image is what its classifier would see; its patches are its last map, after
    its last normalization and without class and register tokens, or the deepest one of a stride
    that is asked for. On a GPU it computes in half precision, on the CPU in float32.

    Attributes:
        name, weights_sha256, embedding_dim, patch_grid, preprocessing: see
            :class:`medmask.experts.expert.Expert`.
        logit_scale: None, as it reads no texts.
    """

    logit_scale: float | None = None

    def __init__(
        self,
        name: str,
        checkpoint: str | None = None,
        device: str | torch.device = "cpu",
        image_size: tuple[int, int] | None = None,
        feature_stride: int | None = None,
    ) -> None:
        """Load a network.

        Args:
            name: ``timm://NAME``, whose weights timm downloads unless ``checkpoint`` names them, or
                ``package://NAME``, an installed package that holds weights.
            checkpoint: a file of weights in the names of timm, or in those of their publishers
                where timm knows them; ``timm://NAME`` or ``package://NAME``.
            device: where to compute.
            image_size: (height, width) of its input; its own if None.
            feature_stride: pixels from one patch to the next; that of its last map if None.

        Raises:
            InputError: timm is not installed, does not know the name, or the weights are not there
                or do not fit; or the network has no such size or stride.
        """
        network_name = name.removeprefix(TIMM)
        if name.startswith(PACKAGE):
            network_name = packaged_network(name.removeprefix(PACKAGE), "--model")
        check_name(network_name, "--model")
        config = import_timm().get_pretrained_cfg(network_name)
        self.preprocessing = ExpertPreprocessing.from_open_clip(
            {
                "size": image_size or config.input_size[1:],
                "mean": config.mean,
                "std": config.std,
                "interpolation": config.interpolation,
            }
        )
        model = _create(network_name)
        _load(model, network_name, checkpoint or name)
        self.name = f"{TIMM}{network_name.split('.')[0]}"
        self.weights_sha256 = hash_weights(model)
        self._map_index = _find_map(model, network_name, feature_stride)
        self._device = torch.device(device)
        self._model: Any = model.eval().requires_grad_(False).to(self._device)
        embedding, patches = self._try()
        self.embedding_dim = embedding.shape[1]
        self.patch_grid: tuple[int, int, int] | None = patches.shape[1:]

    def encode_images(self, images: Tensor) -> np.ndarray:
        """Embed images.

        Args:
            images: (B, 3, height, width), as ``preprocessing`` gives them.

        Returns:
            (B, D) float32, length 1.
        """
        return self.encode_images_and_patches(images)[0]

    def encode_images_and_patches(self, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Embed images and their patches.

        Args:
            images: (B, 3, height, width), as ``preprocessing`` gives them.

        Returns:
            (B, D) float32 embeddings of length 1, and (B, h, w, C) float32 patch tokens.
        """
        with inference_mode(self._device):
            features, maps = self._model.forward_intermediates(
                images.to(self._device), indices=[self._map_index], norm=True, output_fmt="NCHW"
            )
            embeddings = self._model.forward_head(features, pre_logits=True)
            patches = maps[-1].permute(0, 2, 3, 1).float()
            return to_unit_length(embeddings), patches.cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Refuse: a network of timm reads no texts."""
        raise InputError(f"expert '{self.name}' reads no texts: leave the prompts out")

    def _try(self) -> tuple[np.ndarray, np.ndarray]:
        image = torch.zeros(1, 3, *self.preprocessing.size)
        try:
            return self.encode_images_and_patches(image)
        except Exception as error:  # networks say in ways of their own what they cannot do
            height, width = self.preprocessing.size
            raise InputError(
                f"expert '{self.name}' makes no patches of images of {height} x {width} (height x "
                f"width; {name_first([str(error)])}): choose another image size, or another network"
            ) from error


def _create(name: str) -> nn.Module:
    """The network without its classifier, for images of any size where it can be."""
    timm = import_timm()
    architecture = name.split(".")[0]
    try:
        return timm.create_model(
            architecture, pretrained=False, num_classes=0, dynamic_img_size=True
        )
    except TypeError:  # only plain vision transformers have the option
        return timm.create_model(architecture, pretrained=False, num_classes=0)


def _load(model: nn.Module, name: str, source: str) -> None:
    """Load all of a network's weights, from an address or a file."""
    state = model.state_dict()
    weights: Mapping[str, Tensor]
    if is_timm_address(source):
        part = TimmPart(name.split(".")[0], "", state)
        weights = read_timm_address(source, part, "--checkpoint")
    else:
        weights = _in_timm_names(read_published_file(source), model)
    missing = [key for key in state if key not in weights]
    odd = [key for key in state if key not in missing and weights[key].shape != state[key].shape]
    if missing or odd:
        raise InputError(
            f"the weights of {source} do not fit the network {name}: {name_first(missing + odd)} "
            f"is missing or of another shape; name weights of the same network"
        )
    model.load_state_dict({key: weights[key] for key in state})


def _in_timm_names(weights: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
    """Rename weights that have their publisher's names, where timm knows these."""
    if all(key in weights for key in model.state_dict()):
        return weights
    rename: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return weights
    try:
        with contextlib.redirect_stdout(None):  # it prints what it passes over
            return rename(dict(weights), model)
    except Exception:  # names that it does not expect; what is missing is told by the caller
        return weights


def _find_map(model: nn.Module, name: str, stride: int | None) -> int:
    """Index of the deepest map of a stride, or of the last one."""
    info = getattr(model, "feature_info", None)
    if not info or not hasattr(model, "forward_intermediates"):
        raise InputError(f"expert {TIMM}{name} gives no maps: choose another network")
    strides = [stage["reduction"] for stage in info]
    if stride is None:
        return len(strides) - 1
    if stride not in strides:
        raise InputError(
            f"--feature-stride is {stride}, but {name} has maps of the strides "
            f"{', '.join(map(str, sorted(set(strides))))}: choose among these"
        )
    return max(i for i, reduction in enumerate(strides) if reduction == stride)
