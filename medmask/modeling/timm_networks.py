"""Creating networks of timm, which is an optional dependency."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from medmask.errors import InputError

_DYNAMIC_SIZE = ({"dynamic_img_size": True}, {"strict_img_size": False})
"""Options for images of any size: of plain vision transformers, and of Swin transformers"""


def import_timm() -> ModuleType:
    """Import timm.

    Raises:
        InputError: it is not installed.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise InputError(
            "backbones by name are networks of the package timm, which is not installed: "
            "pip install '.[imagenet]'"
        ) from None
    return timm


def create_feature_network(
    name: str, options: Mapping[str, Any] | None = None, out_indices: Sequence[int] | None = None
) -> nn.Module:
    """Create a network that gives feature maps, with random weights, for images of any size.

    Args:
        name: of the network in timm.
        options: further arguments of its constructor.
        out_indices: numbers of the maps to give; those that timm gives of itself if None.

    Returns:
        A module that takes (N, 3, H, W) and gives a list of maps; its ``feature_info`` describes
        them.

    Raises:
        InputError: timm is not installed, does not know the name, or the network gives no maps.
    """
    timm = import_timm()
    check_name(name)
    arguments = {"pretrained": False, "features_only": True, **(options or {})}
    if out_indices is not None:
        arguments["out_indices"] = tuple(out_indices)
    config = timm.get_pretrained_cfg(name)
    sizes = _DYNAMIC_SIZE if config is not None and config.fixed_input_size else ({},)
    failure = None
    for size in sizes:
        try:
            return timm.create_model(name, **size, **arguments)
        except (TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
            failure = failure or error
    raise InputError(
        f"model.backbone: timm cannot build {name} to give maps of images of any size "
        f"({str(failure).splitlines()[0]}): correct network_options, or choose another network"
    ) from None


def check_name(name: str) -> None:
    """Check that timm has a network of this name, which may end with the tag of its weights.

    Raises:
        InputError: it has none.
    """
    timm = import_timm()
    if not timm.is_model(name):
        import difflib

        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f": did you mean {', '.join(close)}?" if close else ""
        raise InputError(f"model.backbone.name: timm knows no network {name}{hint}")
