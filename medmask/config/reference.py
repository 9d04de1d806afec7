"""Write the tables of all config keys between the markers of ``configs/README.md``.

Run ``python -m medmask.config.reference`` in the root of the repository after a change of
:mod:`medmask.config.keys`. Meanings and accepted values are those there, defaults those of
``configs/common`` or of the signature.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import LazyConfig
from detectron2.utils.registry import _convert_target_to_string
from omegaconf import DictConfig, OmegaConf

from medmask.config.hook_keys import HOOKS
from medmask.config.keys import DATA
from medmask.config.model_keys import MODEL
from medmask.config.optimization_keys import OPTIMIZATION
from medmask.config.targets import find_target, iterate_targets
from medmask.config.train_keys import TRAIN
from medmask.config.tree import is_group, iterate_values, raw_value
from medmask.config.values import Value
from medmask.utils.files import atomic_write

START, END = "<!-- keys: start -->", "<!-- keys: end -->"
PAGE = Path("README.md")
DEFAULTS = (
    "common/data/mammography.py",
    "common/data/unlabeled.py",
    "common/*.py",
    "common/models/medmask_r50.py",
    "common/models/medmask_lite0.py",
    "common/loss_hooks/*.py",
)
"""Pages whose values are the defaults, the first of them first."""
COMPLETE = (
    "ddsm2inbreast/teaching.py",
    "ddsm2inbreast/expert.py",
    "phantom/source_only.py",
    "phantom2ffdm/masks.py",
)
"""Pages in which a part is looked for to say at which key it is, the first of them first."""

Target = Callable[..., Any]


def write_reference(configs: Path) -> str:
    """Make the page anew: the text of ``configs/README.md`` with the tables as they should be."""
    text = (configs / PAGE).read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{make_tables(configs)}\n{END}{after}"


def make_tables(configs: Path) -> str:
    """The tables of all keys in Markdown."""
    train = LazyConfig.load(str(configs / "common" / "train.py")).train
    defaults = {key.removeprefix("train."): raw_value(g, n) for key, g, n in iterate_values(train)}
    lines = ["### `train`", "", *_table(TRAIN, defaults), ""]
    nodes, places = _default_nodes(configs), _places(configs)
    for title, parts in (
        ("`dataloader`", DATA),
        ("`optimizer` and `lr_multiplier`", OPTIMIZATION),
        ("`model`", MODEL),
        ("`loss_hooks`", HOOKS),
    ):
        lines += [f"### {title}", ""]
        for target, described in parts.items():
            lines += [_heading(target, places.get(target)), ""]
            if described:
                lines += [*_table(described, _defaults(target, nodes.get(target))), ""]
    return "\n".join(lines)


def _heading(target: Target, key: str | None) -> str:
    place = f"`{key}`: " if key else ""
    return f"**{place}`{_convert_target_to_string(target)}`**"


def _table(described: Mapping[str, Value], defaults: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | meaning | accepted | default |"
    yield "|---|---|---|---|"
    for key, value in described.items():
        default = f"`{_show(defaults[key])}`" if key in defaults else ""
        yield f"| `{key}` | {value.meaning} | {value.description} | {default} |"


def _defaults(target: Target, node: DictConfig | None) -> dict[str, Any]:
    """Values of a page of ``configs/common``, and where it has none, of the signature."""
    parameters = inspect.signature(target).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    if node is None:
        return defaults
    return defaults | {str(name): node._get_node(name) for name in node if name != "_target_"}


def _show(value: Any) -> str:
    if is_group(value) and "_target_" in value:
        return _convert_target_to_string(find_target(value["_target_"], "")).rpartition(".")[2]
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    raw = value._value() if hasattr(value, "_value") else value
    return raw if isinstance(raw, str) and raw else json.dumps(raw)


def _default_nodes(configs: Path) -> dict[Target, DictConfig]:
    nodes: dict[Target, DictConfig] = {}
    for pattern in DEFAULTS:
        for path in sorted(configs.glob(pattern)):
            config = LazyConfig.load(str(path))
            for key, target in iterate_targets(config):
                group = OmegaConf.select(config, key.removesuffix("._target_"))
                nodes.setdefault(find_target(target, key), group)
    return nodes


def _places(configs: Path) -> dict[Target, str]:
    places: dict[Target, str] = {}
    for name in COMPLETE:
        for key, target in iterate_targets(LazyConfig.load(str(configs / "medmask" / name))):
            places.setdefault(find_target(target, key), key.removesuffix("._target_"))
    return places


if __name__ == "__main__":
    text = write_reference(Path("configs"))
    with atomic_write(Path("configs") / PAGE, "w") as file:
        file.write(text)
