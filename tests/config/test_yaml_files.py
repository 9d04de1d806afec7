"""Configs that come with weights: nothing in them runs, and what a run writes can be read."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from medmask.config.loading import load_config
from medmask.config.yaml_files import read_config_yaml, write_config_yaml
from medmask.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
FILES = [path for path in sorted(CONFIGS.glob("*/[!_]*.py")) if path.stem != "benchmark"]

CONFIG = """
model: {_target_: torch.nn.Linear, in_features: 2, out_features: 1}
dataloader: {test: {dataset: phantom_film_val}}
optimizer: {_target_: torch.optim.AdamW, lr: 1.0e-3, weight_decay: 1e-4}
lr_multiplier: {_target_: fvcore.common.param_scheduler.ConstantParamScheduler, value: 1.0}
train: {max_iter: 10, output_dir: out, seed: 0}
"""


@pytest.fixture
def write(tmp_path):
    """Writes a config.yaml with more lines and gives its path."""

    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_plain_config_is_read(write):
    config = load_config(write(CONFIG), ["optimizer.lr=0.01"])
    assert config.optimizer.lr == 0.01
    assert config.optimizer.weight_decay == 1e-4
    config.optimizer.params = object()  # what a run puts there


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_a_run_writes_says_the_same(path, tmp_path):
    config = load_config(str(path))
    assert write_config_yaml(config, tmp_path / "config.yaml") == []
    again = load_config(str(tmp_path / "config.yaml"))
    write_config_yaml(again, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == (tmp_path / "config.yaml").read_text()
    assert _resolved(again) == _resolved(config)


def _resolved(config):
    config = config.copy()
    for key in ("model", "dataloader", "optimizer", "lr_multiplier", "train"):
        assert key in config
    return _without_targets(OmegaConf.to_container(config, resolve=True))


def _without_targets(value):
    if isinstance(value, dict):
        return {k: _without_targets(v) for k, v in value.items() if k != "_target_"}
    return [_without_targets(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that leaves a file behind if anything imports or calls it; gives that file."""
    (tmp_path / "trap_module.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\ndef run(**_): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "sprung"
    sys.modules.pop("trap_module", None)


TARGETS = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "builtins.getattr",
    "subprocess.Popen",
    "pathlib.Path.write_text",
    "importlib.import_module",
    "runpy.run_path",
    "pickle.loads",
    "trap_module.run",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.ops.load_library",
    "torch.compile",
    "torch.utils.cpp_extension.load_inline",
    "torch.package.PackageImporter",
    "torch.nn.init.os.system",
    "torch.nn.modules.module.warnings.os.system",
    "torch.nn.Module.forward",
    "torch.nn.parallel.DistributedDataParallel.__init__",
    "torch.optim.Optimizer.load_state_dict",
    "torchvision.models.resnet50",
    "detectron2.config.LazyConfig.load",
    "detectron2.utils.file_io.PathManager.rm",
    "detectron2.evaluation.testing.sys.exit",
    "detectron2.data.transforms.augmentation.inspect.os.system",
    "medmask.engine.run.Path",
    "medmask.engine.run_comparison",
    "medmask.inference.MedMaskPredictor",
    "medmask.config.load_config",
    "medmask.engine.comparison.runner.subprocess.Popen",
    "medmask.engine.launch",
    "medmask.engine.launcher.os.system",
    "medmask.engine.set_up_run",
    "medmask.data.catalog.functools.partial",
    "medmask.data.catalog.Path",
    "medmask.evaluation.write_json",
    "medmask.utils.files.atomic_write",
    "medmask.modeling.meta_arch.torch.load",
    "medmask.modeling.MedMask.__class__",
    "omegaconf.OmegaConf.load",
    "numpy.load",
    "dict",
    "medmask",
    "",
    "..",
    "torch.nn.",
    "os.system;torch.nn.Linear",
    "${train.output_dir}",
    "${train.nothing}",
    "???",
    "null",
    "7",
    "[os.system]",
    "{_target_: builtins.getattr}",
    "{_target_: torch.nn.Identity}",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("place", ["model", "nested", "override", "added"])
def test_code_is_not_named(write, trap, target, place):
    quoted = target if target[:1] in ("[", "{") or target in ("null", "7") else f"'{target}'"
    text, overrides = CONFIG, []
    if place == "model":
        text = text.replace("_target_: torch.nn.Linear", f"_target_: {quoted}")
    elif place == "nested":
        text += f"loss_hooks: {{a: [1, {{b: {{_target_: {quoted}, x: 1}}}}]}}\n"
    elif place == "override":
        overrides = [f"model._target_={quoted}"]
    else:
        overrides = [f"+loss_hooks.x={{_target_: {quoted}, command: 'touch'}}"]
    with pytest.raises(InputError) as error:
        load_config(write(text), overrides)
    assert "_target_" in str(error.value) or "cannot read" in str(error.value)
    assert "\n" not in str(error.value)
    assert not trap.exists()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch sprung']",
        "!!python/object/apply:trap_module.run []",
        "!!python/name:trap_module.run",
        "!!python/module:trap_module",
        "!!python/object:trap_module.run {}",
        "!!python/object/new:trap_module.run []",
        "!!python/object/apply:pathlib.Path [x]",
        "!!python/tuple [1, 2]",
        "!!binary aGFsbG8=",
        "!!set {a, b}",
        "!own tag",
    ],
)
def test_tags_are_refused(write, trap, value):
    with pytest.raises(InputError, match=r"config\.yaml.*line 7 has the tag"):
        load_config(write(f"{CONFIG}more: {value}\n"))
    assert not trap.exists()


def test_bombs_are_refused_at_once(write):
    aliases = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    aliases += [f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(12)]
    with pytest.raises(InputError, match="more than 20000 values"):
        load_config(write(CONFIG + "\n".join(aliases)))
    with pytest.raises(InputError, match="more than 20000 values"):
        load_config(write(CONFIG + "endless: &e [1, *e]"))
    references = [f"r{i}: '${{r{i + 1}}}${{r{i + 1}}}'" for i in range(40)]
    with pytest.raises(InputError, match="may hold one reference"):
        load_config(write(CONFIG + "\n".join(references) + "\nr40: ha"))
    groups = [f"g{i}: {{a: '${{g{i + 1}}}', b: '${{g{i + 1}}}'}}" for i in range(40)]
    with pytest.raises(InputError, match="group of keys"):
        load_config(write(CONFIG + "\n".join(groups) + "\ng40: {c: 1}"))
    with pytest.raises(InputError, match="nested too deeply"):
        load_config(write(f"{CONFIG}deep: {'[' * 5000}{']' * 5000}"))
    with pytest.raises(InputError, match="at most"):
        load_config(write(f"{CONFIG}long: {'x' * 300_000}"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x: ${oc.env:HOME}", "x is ${oc.env:HOME}"),
        ("x: 'a ${oc.decode:${train.seed}}'", "refer to other keys only"),
        ("x: ${train.nowhere}", "train.nowhere"),
        ("x: ${x}", "config.yaml"),
        ("x: ${y}\ny: ${x}", "config.yaml"),
        ("x: '${'", "config.yaml"),
        ("train: {seed: 1}", "the key train twice"),
        ("x: {a: 1, a: 2}", "the key a twice"),
        ("1: 2", "no text"),
        ("[1]: 2", "no text"),
        ("x: [", "is no YAML"),
        ("x: *nowhere", "is no YAML"),
        ("x: 'open", "is no YAML"),
        ("\x00", "is no YAML"),
        ("x: 1\n--- {a: 1}", "is no YAML"),
        (f"x: {'9' * 5000}", "config.yaml"),
    ],
)
def test_other_faults_are_one_sentence(write, line, words):
    with pytest.raises(InputError) as error:
        load_config(write(f"{CONFIG}{line}\n"))
    assert "config.yaml" in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"just text", b"- 1\n", b"\xff\xfe\x00", b"7", b"null"])
def test_file_that_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"config\.yaml"):
        read_config_yaml(path)


OWN_CODE = """
import functools, numpy, pathlib
from detectron2.config import LazyCall as L
from torch import nn

def own(**options):
    return options

model = L(own)(a=numpy.float64(0.5), path=pathlib.Path("x"), norm=functools.partial(nn.LayerNorm))
dataloader = dict(test=dict(pair=(1, 2), both="${train.a}/${train.b}", group="${optimizer}"))
optimizer = dict(home="${oc.env:HOME}")
lr_multiplier = dict(a="???")
train = dict(a="x", b="${.a}")
"""


def test_config_with_own_code_runs_and_says_what_its_yaml_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    own = tmp_path / "own.py"
    own.write_text(OWN_CODE)
    config = load_config(str(own), ["model.a=0.25"])
    assert callable(config.model._target_)
    config.model.a = np.float64(0.25)
    assert write_config_yaml(config, tmp_path / "config.yaml") == ["model.norm"]
    with pytest.raises(InputError, match=r"model\._target_ is '.*own', .*--config-file"):
        load_config(str(tmp_path / "config.yaml"))

    config.model._target_ = "builtins.dict"
    write_config_yaml(config, tmp_path / "config.yaml")
    again = load_config(str(tmp_path / "config.yaml"))
    assert OmegaConf.is_missing(again.model, "norm")
    assert (again.model.a, again.model.path) == (0.25, "x")
    assert again.dataloader.test == {"pair": [1, 2], "both": "x/x", "group": {"home": "/home/me"}}
    assert again.train._get_node("b")._value() == "${.a}"


def test_code_that_the_py_config_names_may_be_named_again(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(OWN_CODE.replace("L(own)", 'L("mylab.nets.Net")') + "\n# partial: see model\n")
    config = load_config(str(own), ["model._target_=mylab.nets.Net"])
    assert config.model._target_ == "mylab.nets.Net"
    with pytest.raises(InputError, match=r"model\._target_ is 'mylab\.nets\.Other'"):
        load_config(str(own), ["model._target_=mylab.nets.Other"])


def test_partial_is_a_value_that_yaml_cannot_hold(tmp_path):
    config = OmegaConf.create({"a": 1}, flags={"allow_objects": True})
    config.b = partial(print)
    assert write_config_yaml(config, tmp_path / "c.yaml") == ["b"]


def test_group_with_keys_that_are_no_text_is_a_value_that_yaml_cannot_hold(tmp_path):
    config = OmegaConf.create({"a": 1, "hook": {"class_weights": {0: 1.0, 1: 2.0}}})
    assert write_config_yaml(config, tmp_path / "c.yaml") == ["hook.class_weights"]
    assert OmegaConf.is_missing(read_config_yaml(tmp_path / "c.yaml").hook, "class_weights")


@pytest.mark.parametrize("text", ["7e3", "12e4567", "1.5E+3", "-2e-1", "1e", "017", "0x1F", "yes"])
def test_text_that_looks_like_a_number_stays_a_text(tmp_path, text):
    config = OmegaConf.create({"name": text, "by_name": {text: 1}})
    write_config_yaml(config, tmp_path / "c.yaml")
    assert read_config_yaml(tmp_path / "c.yaml") == config


@pytest.mark.parametrize(
    ("value", "words"), [(list(range(20_000)), "20000 values"), ("x" * 300_000, "300006 bytes")]
)
def test_config_that_could_not_be_read_again_is_not_written(tmp_path, value, words):
    with pytest.raises(InputError, match=f"{words}.*; keep long lists in files"):
        write_config_yaml(OmegaConf.create({"a": value}), tmp_path / "c.yaml")
    assert not (tmp_path / "c.yaml").exists()


def test_files_of_relative_imports_have_one_name_at_each_reading(tmp_path):
    (tmp_path / "own_hooks.py").write_text("class Hook:\n    class Inner: pass\n")
    page = tmp_path / "page.py"
    page.write_text(
        "from detectron2.config import LazyCall as L\nfrom .own_hooks import Hook\n"
        "loss_hooks = dict(a=L(Hook)(), b=L(Hook.Inner)())\n"
        "model = dataloader = optimizer = lr_multiplier = train = dict()\n"
    )
    for name in ("first.yaml", "second.yaml"):
        write_config_yaml(load_config(str(page)), tmp_path / name)
    assert (tmp_path / "first.yaml").read_text() == (tmp_path / "second.yaml").read_text()
    hooks = read_config_yaml(tmp_path / "first.yaml", any_target=True).loss_hooks
    assert (hooks.a._target_, hooks.b._target_) == ("own_hooks.Hook", "own_hooks.Hook.Inner")
