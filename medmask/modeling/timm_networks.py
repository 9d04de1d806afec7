"""Creating networks of timm, which is an optional dependency."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from medmask.errors import InputError
from medmask.modeling.weights import name_first
from medmask.utils.optional_packages import import_optional

_DYNAMIC_SIZE = ({"dynamic_img_size": True}, {"strict_img_size": False})
"""Options for images of any size: of plain vision transformers, and of Swin transformers"""


def import_timm() -> ModuleType:
    """Import timm.

    Raises:
        InputError: it is not installed.
    """
    return import_optional("timm", "networks by name need", "imagenet")


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
    options = {key: _as_tuple(value) for key, value in (options or {}).items()}
    arguments = {"pretrained": False, "features_only": True, **options}
    if out_indices is not None:
        arguments["out_indices"] = tuple(out_indices)
    config = timm.get_pretrained_cfg(name)
    sizes = _DYNAMIC_SIZE if config is not None and config.fixed_input_size else ({},)
    failures = []
    for size in sizes:
        try:
            return timm.create_model(name, **size, **arguments)
        except Exception as error:  # of any kind: the options are the user's
            failures.append(str(error))
    told = [text for text in failures if not any(key in text for size in sizes for key in size)]
    reason = name_first(told[:1]) or "its images are of one size"
    raise InputError(
        f"model.backbone: timm cannot build {name} to give maps of images of any size ({reason}): "
        "correct network_options, or choose another network"
    ) from None


def _as_tuple(value: Any) -> Any:
    """A list of a config as a tuple, which PyTorch asks for in places; anything else as it is."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_as_tuple(item) for item in value)
    return value


def stage_modules(network: nn.Module, name: str, num_stages: int) -> list[nn.Module]:
    """List the modules of a feature network's first stages, in the order of computation.

    A stage ends with a map that timm can give.

    Args:
        network: the feature network.
        name: of it in timm, for messages.
        num_stages: at least 1.

    Raises:
        InputError: there are not so many, or timm does not tell where the last of them ends.
    """
    info: Any = network.feature_info
    stages = [stage["module"] for stage in info.info]
    if num_stages > len(stages):
        raise InputError(
            f"model.backbone.freeze_at is {num_stages}, but {name} has {len(stages)} stages: take "
            f"a number from 0 to {len(stages)}"
        )
    end = stages[num_stages - 1]
    names = [n for n, _ in network.named_modules()]
    # Feature networks may write stages_0 for stages.0, or wrap the whole network.
    end = next((n for n in (end, end.replace(".", "_"), f"model.{end}") if n in names), None)
    if end is None:
        raise InputError(
            f"model.backbone: the stages of {name} cannot be told apart: set freeze_at to 0, and "
            "let strides end with its coarsest map"
        )
    last = max(i for i, n in enumerate(names) if f"{n}.".startswith(f"{end}."))
    return list(network.modules())[: last + 1]


def check_name(name: str, option: str = "model.backbone.name") -> None:
    """Check that timm has a network of this name, which may end with the tag of its weights.

    Args:
        name: of the network.
        option: that names it, for messages.

    Raises:
        InputError: it has none.
    """
    timm = import_timm()
    if not timm.is_model(name):
        import difflib

        close = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f": did you mean {', '.join(close)}?" if close else ""
        raise InputError(f"{option}: timm knows no network {name}{hint}")
