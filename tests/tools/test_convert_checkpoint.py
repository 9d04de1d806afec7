"""The tool that converts published checkpoints, run in this process."""

import argparse
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from published_weights import MODELS, NUM_PUBLISHED_CLASSES, TWO_STAGE, publish, small_model

from medmask.checkpoint import MedMaskCheckpointer
from medmask.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_tool(tmp_path, monkeypatch):
    """Run the tool in this process on a small model's config; returns its exit status."""
    config = tmp_path / "config.py"
    config.write_text(
        "from detectron2.config import LazyConfig\n"
        f"model = LazyConfig.load({str(MODELS / 'medmask_small.py')!r}).model\n"
        "dataloader = optimizer = lr_multiplier = train = dict()\n"
    )
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        tool = ROOT / "tools" / "convert_checkpoint.py"
        spec = importlib.util.spec_from_file_location("convert_checkpoint", tool)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(tool), *arguments])
        with pytest.raises(SystemExit) as exit_:
            module.main()
        return exit_.value.code

    return run


SMALL_CONFIG = [
    "--config-file",
    "config.py",
    "model.transformer.two_stage=True",
    f"model.transformer.num_classes={NUM_PUBLISHED_CLASSES}",
]


def test_tool_writes_what_the_checkpointer_loads(run_tool, tmp_path, capsys):
    model = small_model(**TWO_STAGE)
    torch.save({"model": publish(model), "args": argparse.Namespace()}, "in.pth")
    assert run_tool("in.pth", "out.pth", *SMALL_CONFIG) == 0
    report = capsys.readouterr().out
    assert "mapped" in report
    assert len(report.splitlines()) < 20
    loaded = small_model(**TWO_STAGE)
    MedMaskCheckpointer(loaded).load_for_inference(str(tmp_path / "out.pth"))
    trained = dict(model.named_parameters())
    assert all(torch.equal(x, trained[name]) for name, x in loaded.named_parameters())


def test_tool_reads_safetensors(run_tool, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    model = small_model(**TWO_STAGE)
    weights = {name: x.clone() for name, x in publish(model).items()}
    safetensors.save_file(weights, tmp_path / "model.safetensors")
    assert run_tool("model.safetensors", "out.pth", *SMALL_CONFIG) == 0
    loaded = small_model(**TWO_STAGE)
    MedMaskCheckpointer(loaded).load_for_inference("out.pth")
    trained = dict(model.named_parameters())
    assert all(torch.equal(x, trained[name]) for name, x in loaded.named_parameters())


def test_tool_takes_the_rows_of_our_classes(run_tool, tmp_path, capsys):
    model = small_model(**TWO_STAGE)
    torch.save(publish(model), "in.pth")
    one_class = [
        o.replace(f"num_classes={NUM_PUBLISHED_CLASSES}", "num_classes=1") for o in SMALL_CONFIG
    ]
    assert run_tool("in.pth", "out.pth", *one_class) == 1
    assert "--class-rows" in capsys.readouterr().out
    loaded = small_model(num_classes=1, **TWO_STAGE)
    with pytest.raises(InputError, match="class_heads"):
        MedMaskCheckpointer(loaded).load_for_inference("out.pth")
    before = loaded.transformer.decoder.class_heads[0].weight.clone()
    MedMaskCheckpointer(loaded).load_start_weights("out.pth", fresh_class_heads=True)
    assert torch.equal(loaded.transformer.decoder.class_heads[0].weight, before)

    assert run_tool("in.pth", "out.pth", "--class-rows", "1", *one_class) == 0
    MedMaskCheckpointer(loaded).load_for_inference("out.pth")
    theirs = model.transformer.decoder.class_heads[0].weight
    assert torch.equal(loaded.transformer.decoder.class_heads[0].weight, theirs[1:2])


@pytest.mark.parametrize("rows", ["", "one", "-1", "1.5", "1,,2", "9" * 5000, "\u0661"])
def test_tool_refuses_rows_that_are_no_numbers(run_tool, capsys, rows):
    assert run_tool("in.pth", "out.pth", f"--class-rows={rows}", *SMALL_CONFIG) == 2
    assert "--class-rows is" in capsys.readouterr().err


def test_tool_tells_when_the_model_is_incomplete(run_tool, capsys):
    torch.save(publish(small_model(num_queries=7)), "in.pth")
    plain = [o.replace("two_stage=True", "two_stage=False") for o in SMALL_CONFIG]
    assert run_tool("in.pth", "out.pth", *plain, "model.transformer.box_refinement=False") == 1
    report = capsys.readouterr().out
    assert "transformer.queries.embedding.weight" in report
    assert "incomplete" in report


@pytest.mark.parametrize(
    ("output", "message"),
    [("in.pth", "is the INPUT"), ("out.pkl", "must end in .pth"), ("in.pth/out.pth", "written")],
)
def test_tool_refuses_outputs_in_one_line(run_tool, capsys, output, message):
    torch.save(publish(small_model(**TWO_STAGE)), "in.pth")
    before = Path("in.pth").read_bytes()
    assert run_tool("in.pth", output, *SMALL_CONFIG) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("in.pth").read_bytes() == before
