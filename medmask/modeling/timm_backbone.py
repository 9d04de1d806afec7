"""Any network of the library timm that gives feature maps, by its name.

Strides and channels are read from the network, so no config repeats them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from torch import Tensor, nn

from medmask.errors import InputError
from medmask.modeling.timm_networks import create_feature_network

BatchNormMode = Literal["train", "eval", "frozen"]
_KEY = "model.backbone"


class TimmBackbone(Backbone):
    """A network of timm as a Detectron2 backbone.

    Its maps are named like those of a ResNet of the same stride: ``res3`` has stride 8, ``res4``
    16, ``res5`` 32. What names a map by these names is for every backbone then.

    Attributes:
        network: timm's feature network; its parameters keep timm's names.
        name: of the network in timm.
    """

    def __init__(
        self,
        *,
        name: str,
        strides: Sequence[int] = (8, 16, 32),
        batch_norm: BatchNormMode = "eval",
        freeze_at: int = 0,
        gradient_checkpointing: bool = False,
        network_options: Mapping[str, Any] | None = None,
    ):
        """Build the network with random weights; see :func:`build_timm_backbone`."""
        super().__init__()
        self.name = name
        self.network = create_feature_network(name, network_options)
        self._batch_norm = batch_norm
        reductions = self.network.feature_info.reduction()
        self._indices = _find_strides(name, reductions, strides)
        if self._indices[-1] + 1 < len(reductions):
            out_indices = self.network.feature_info.out_indices[: self._indices[-1] + 1]
            self.network = create_feature_network(name, network_options, out_indices)
            self._freeze_deeper_layers()
        channels = self.network.feature_info.channels()
        self._out_features = [f"res{round(math.log2(stride))}" for stride in strides]
        self._out_feature_strides = dict(zip(self._out_features, strides, strict=True))
        self._out_feature_channels = {
            feature: channels[index]
            for feature, index in zip(self._out_features, self._indices, strict=True)
        }
        if gradient_checkpointing:
            _checkpoint_gradients(self.network, name, batch_norm)
        self._fixed_norms = self._freeze(freeze_at)

    @property
    def size_divisibility(self) -> int:
        """Divides the height and width of padded images: the coarsest map has whole cells."""
        return max(self._out_feature_strides.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the maps, from fine to coarse.

        Args:
            images: (N, 3, H, W), normalized; H and W divisible by :attr:`size_divisibility`.

        Returns:
            Name -> (N, C_i, H / stride_i, W / stride_i).
        """
        maps = self.network(images)
        chosen = (maps[index] for index in self._indices)
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            chosen = (m.permute(0, 3, 1, 2) for m in chosen)
        return dict(zip(self._out_features, chosen, strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            name: ShapeSpec(
                channels=self._out_feature_channels[name], stride=self._out_feature_strides[name]
            )
            for name in self._out_features
        }

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Switch the mode, but for BatchNorm layers whose statistics are fixed."""
        super().train(mode)
        for norm in self._fixed_norms:
            norm.eval()
        return self

    def _freeze_deeper_layers(self) -> None:
        """Switch off gradients behind the last map: some of timm's networks keep these layers."""
        used = set(_first_layers(self.network, self.name, self._indices[-1] + 1))
        for module in self.network.modules():
            if module not in used:
                module.requires_grad_(False)

    def _freeze(self, freeze_at: int) -> list[nn.Module]:
        """Switch off gradients; return the BatchNorm layers that keep their statistics.

        A map that depends on no trained parameter is computed without a graph, so frozen layers
        cost neither a backward pass nor memory for it.
        """
        frozen = _first_layers(self.network, self.name, freeze_at) if freeze_at else []
        for module in frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False
        norms = [
            m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        if self._batch_norm == "train":
            norms = [m for m in norms if m in set(frozen)]
        if self._batch_norm == "frozen":
            for norm in norms:
                norm.requires_grad_(False)
        return norms


def build_timm_backbone(
    name: str,
    strides: Sequence[int] = (8, 16, 32),
    batch_norm: BatchNormMode = "eval",
    freeze_at: int = 0,
    gradient_checkpointing: bool = False,
    network_options: Mapping[str, Any] | None = None,
) -> Backbone:
    """Build a backbone from a network of timm, with random weights.

    Pretrained weights are start weights of a run, ``train.init_checkpoint``; a detector that is
    loaded for inference needs none of them.

    Args:
        name: of the network in timm, such as ``tf_efficientnet_lite0``.
        strides: of the maps to give, from fine to coarse.
        batch_norm: ``"train"``: as it is; ``"eval"``: the statistics stay, scale and shift learn;
            ``"frozen"``: neither changes.
        freeze_at: number of the network's own maps, from the finest on, whose layers do not learn.
        gradient_checkpointing: recompute layers in the backward pass.
        network_options: further arguments of the network's constructor, such as
            ``{"drop_path_rate": 0.1}``.

    Raises:
        InputError: timm is not installed or does not know the name, the network gives no such
            maps, or an option does not fit it.
    """
    return TimmBackbone(
        name=name,
        strides=strides,
        batch_norm=batch_norm,
        freeze_at=freeze_at,
        gradient_checkpointing=gradient_checkpointing,
        network_options=network_options,
    )


def _find_strides(name: str, reductions: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Indices of the deepest maps of these strides."""
    if list(strides) != sorted(set(strides)):
        raise InputError(f"{_KEY}.strides must rise from fine to coarse, got {list(strides)}")
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise InputError(
            f"{_KEY}.strides asks for {missing}, but {name} gives maps of the strides "
            f"{sorted(set(reductions))}: choose among these"
        )
    return [max(i for i, r in enumerate(reductions) if r == stride) for stride in strides]


def _first_layers(network: nn.Module, name: str, num_maps: int) -> list[nn.Module]:
    """The modules up to the ``num_maps``-th map of a network, in the order of computation."""
    maps = network.feature_info.get_dicts()
    if num_maps > len(maps):
        raise InputError(
            f"{_KEY}.freeze_at is {num_maps}, but {name} gives {len(maps)} maps: take a number "
            f"from 0 to {len(maps)}"
        )
    # A name such as stages.0, which timm's feature networks may flatten to stages_0.
    last = maps[num_maps - 1]["module"]
    names = [n for n, _ in network.named_modules()]
    last = next((n for n in (last, last.replace(".", "_"), f"model.{last}") if n in names), None)
    if last is None:
        raise InputError(
            f"{_KEY}: the layers of {name} cannot be told apart: set freeze_at to 0, and let "
            "strides end with its coarsest map"
        )
    end = max(i for i, n in enumerate(names) if f"{n}.".startswith(f"{last}."))
    return list(network.modules())[: end + 1]


def _checkpoint_gradients(network: nn.Module, name: str, batch_norm: BatchNormMode) -> None:
    if batch_norm == "train":
        raise InputError(
            f"{_KEY}.gradient_checkpointing computes layers twice, which would count their "
            "BatchNorm statistics twice: set batch_norm to eval or frozen"
        )
    try:
        network.set_grad_checkpointing(True)
    except (AttributeError, AssertionError):
        raise InputError(
            f"{_KEY}.gradient_checkpointing is not there for {name}: set it to False"
        ) from None
