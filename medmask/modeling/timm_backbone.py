"""Any network of the library timm that gives feature maps, by its name.

Strides and channels are read from the network, so no config repeats them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medmask.errors import InputError
from medmask.modeling.simple_pyramid import SimplePyramid
from medmask.modeling.timm_networks import create_feature_network, stage_modules
from medmask.utils.failures import one_line

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
        network: nn.Module,
        name: str,
        strides: Sequence[int],
        *,
        batch_norm: BatchNormMode = "eval",
        freeze_at: int = 0,
        channels_last: bool = False,
    ):
        """Choose maps of a network, and what of it learns; see :func:`build_timm_backbone`."""
        super().__init__()
        self.name = name
        self._channels_last = channels_last
        self.network = network
        self._order_memory()
        info: Any = network.feature_info
        self._indices = _find_strides(name, info.reduction(), strides)
        channels = info.channels()
        self._shapes = {
            f"res{round(math.log2(stride))}": ShapeSpec(channels=channels[index], stride=stride)
            for stride, index in zip(strides, self._indices, strict=True)
        }
        self._freeze_stages_after(info.out_indices[self._indices[-1]])
        self._fixed_norms = self._freeze(batch_norm, freeze_at)

    @property
    def size_divisibility(self) -> int:
        """Divides the height and width of padded images: all maps have whole cells."""
        return max(shape.stride for shape in self._shapes.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the maps, from fine to coarse.

        Args:
            images: (N, 3, H, W), normalized; H and W divisible by :attr:`size_divisibility`.

        Returns:
            Name -> (N, C_i, H / stride_i, W / stride_i).
        """
        maps = self.network(images.contiguous(memory_format=self._memory_format))
        chosen = [maps[index] for index in self._indices]
        if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
            chosen = [m.permute(0, 3, 1, 2) for m in chosen]
        return dict(zip(self._shapes, chosen, strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        return dict(self._shapes)

    def train(self, mode: bool = True) -> "TimmBackbone":
        """Switch the mode, but for BatchNorm layers whose statistics are fixed."""
        super().train(mode)
        for norm in self._fixed_norms:
            norm.eval()
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> "TimmBackbone":
        """Move or convert the parameters, and order them as the device they come to likes it."""
        super()._apply(*args, **kwargs)
        self._order_memory()
        return self

    def _order_memory(self) -> None:
        """Keep channels together on a CPU only: a GPU takes seconds for each new image size."""
        devices = {parameter.device.type for parameter in self.network.parameters()}
        is_last = self._channels_last and devices == {"cpu"}
        self._memory_format = torch.channels_last if is_last else torch.contiguous_format
        self.network.to(memory_format=self._memory_format)  # type: ignore[call-overload]

    def _freeze_stages_after(self, stage: int) -> None:
        """Switch off gradients behind the last map: some of timm's networks keep these layers."""
        info: Any = self.network.feature_info
        if stage + 1 < len(info.info):
            used = set(stage_modules(self.network, self.name, stage + 1))
            for module in self.network.modules():
                if module not in used:
                    module.requires_grad_(False)

    def _freeze(self, batch_norm: BatchNormMode, freeze_at: int) -> list[nn.Module]:
        """Switch off gradients; return the BatchNorm layers that keep their statistics.

        A map that depends on no trained parameter is computed without a graph, so frozen layers
        cost neither a backward pass nor memory for it.
        """
        frozen = set(stage_modules(self.network, self.name, freeze_at)) if freeze_at else set()
        for module in frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False
        norms = [m for m in self.network.modules() if isinstance(m, _BatchNorm)]
        if batch_norm == "frozen":
            for norm in norms:
                norm.requires_grad_(False)
        return [norm for norm in norms if batch_norm != "train" or norm in frozen]


def build_timm_backbone(
    name: str,
    strides: Sequence[int] = (8, 16, 32),
    batch_norm: BatchNormMode = "eval",
    freeze_at: int = 0,
    gradient_checkpointing: bool = False,
    channels_last: bool = False,
    pyramid_channels: int = 256,
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
        freeze_at: number of first stages that do not learn. A stage ends with a map that timm can
            give, so the stem of a ResNet is one, and a block of a vision transformer.
        gradient_checkpointing: recompute layers in the backward pass.
        channels_last: keep the channels of a pixel together in memory, on a CPU: depthwise
            convolutions take 0.7 of the time then, forward and backward together. Without effect
            on other devices: cuDNN takes two seconds there for each image size it has not met yet.
        pyramid_channels: of each map, if the network is a plain vision transformer, whose only map
            becomes a :class:`~medmask.modeling.simple_pyramid.SimplePyramid`.
        network_options: further arguments of the network's constructor, such as
            ``{"drop_path_rate": 0.1}``.

    Raises:
        InputError: timm is not installed or does not know the name, the network gives no such
            maps, takes images of some sizes only or leaves out their border, or an option does not
            fit it.
    """
    network = create_feature_network(name, network_options)
    info: Any = network.feature_info
    reductions = info.reduction()
    is_plain = len(set(reductions)) == 1
    own_strides = reductions[:1] if is_plain else strides
    last = _find_strides(name, reductions, own_strides)[-1]
    if last + 1 < len(reductions):
        network = create_feature_network(name, network_options, info.out_indices[: last + 1])
    backbone = TimmBackbone(
        network,
        name,
        own_strides,
        batch_norm=batch_norm,
        freeze_at=freeze_at,
        channels_last=channels_last,
    )
    _check_maps(backbone)
    if gradient_checkpointing:
        _checkpoint_gradients(network, name, batch_norm)
    return SimplePyramid(backbone, strides, pyramid_channels) if is_plain else backbone


@BACKBONE_REGISTRY.register()
def build_timm_backbone_from_config(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """The backbone of a yacs config: ``MODEL.MEDMASK.TIMM`` and ``MODEL.BACKBONE.FREEZE_AT``."""
    options = cfg.MODEL.MEDMASK.TIMM
    return build_timm_backbone(
        options.NAME,
        strides=options.STRIDES,
        batch_norm=options.BATCH_NORM,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        pyramid_channels=options.PYRAMID_CHANNELS,
        network_options=options.NETWORK_OPTIONS,
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
    odd = [stride for stride in strides if not math.log2(stride).is_integer()]
    if odd:
        raise InputError(
            f"{_KEY}: {name} has maps of stride {odd[0]}, which is no power of 2, so the pyramid's "
            "levels do not fit: choose another network, such as one with patches of 16 pixels"
        )
    return [max(i for i, r in enumerate(reductions) if r == stride) for stride in strides]


def _check_maps(backbone: TimmBackbone) -> None:
    """Compute the maps of a small image once, for timm does not tell of what is refused here."""
    height, width = (cells * backbone.size_divisibility for cells in (3, 5))
    pixels = torch.zeros(1, 3, height, width, device=next(backbone.parameters()).device)
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(pixels)
    except Exception as error:  # of any kind, and often without a word
        raise InputError(
            f"{_KEY}: {backbone.name} takes images of some sizes only, and fails at {height} x "
            f"{width} pixels ({one_line(error) or type(error).__name__}): choose another network"
        ) from error
    backbone.train()
    for name, shape in backbone.output_shape().items():
        size, cells = tuple(maps[name].shape[-2:]), (height // shape.stride, width // shape.stride)
        if size != cells:
            raise InputError(
                f"{_KEY}: {backbone.name} leaves out the border of its images (its map of stride "
                f"{shape.stride} has {size[0]} x {size[1]} cells of {height} x {width} pixels, not "
                f"{cells[0]} x {cells[1]}), so places in its maps are not those in the image: "
                "choose another network"
            )


def _checkpoint_gradients(network: nn.Module, name: str, batch_norm: BatchNormMode) -> None:
    if batch_norm == "train":
        raise InputError(
            f"{_KEY}.gradient_checkpointing computes layers twice, which would count their "
            "BatchNorm statistics twice: set batch_norm to eval or frozen"
        )
    model: Any = getattr(network, "model", network)
    try:
        model.set_grad_checkpointing(True)
    except (AttributeError, AssertionError):
        raise InputError(
            f"{_KEY}.gradient_checkpointing is not there for {name}: set it to False"
        ) from None
