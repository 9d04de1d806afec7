import argparse
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from torch import nn
from torchvision.models import resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from medmask.checkpoint import (
    MedMaskCheckpointer,
    convert_checkpoint,
    format_report,
    read_published_file,
)
from medmask.errors import InputError
from medmask.layers import box_position_encoding
from medmask.modeling.proposals import ProposalOutput

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "configs" / "common" / "models"
KEY_LISTS = ROOT / ".." / "shared" / "golden"
TWO_STAGE = {"two_stage": True, "box_refinement": True}
NUM_PUBLISHED_CLASSES = 5

# Detectron2's and our names (left) in the words of the official release; layers keep their number.
OFFICIAL_WORDS = [
    (r"^backbone\.stem\.conv1\.norm\.", "backbone.0.body.bn1."),
    (r"^backbone\.stem\.conv1\.", "backbone.0.body.conv1."),
    (r"^backbone\.(.*)conv(\d)\.norm\.", r"backbone.\1bn\2."),
    (r"^backbone\.(.*)shortcut\.norm\.", r"backbone.\1downsample.1."),
    (r"^backbone\.(.*)shortcut\.", r"backbone.\1downsample.0."),
    *[(rf"^backbone\.res{i + 1}\.", f"backbone.0.body.layer{i}.") for i in (1, 2, 3, 4)],
    (r"^neck\.projections", "input_proj"),
    (r"level_embedding$", "level_embed"),
    (r"(encoder\.layers\.\d+)\.norm\.", r"\1.norm1."),
    (r"(encoder\.layers\.\d+)\.feed_forward\.norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.self_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.cross_norm\.", r"\1.norm1."),
    (r"(decoder\.layers\.\d+)\.feed_forward\.norm\.", r"\1.norm3."),
    (r"(layers\.\d+)\.feed_forward\.", r"\1."),
    (r"(layers\.\d+)\.(self|cross)_attention\.", r"\1.\2_attn."),
    (r"^transformer\.queries\.embedding\.", "query_embed."),
    (r"^transformer\.queries\.reference_points\.", "transformer.reference_points."),
    (r"^transformer\.proposals\.projection\.", "transformer.enc_output."),
    (r"^transformer\.proposals\.norm\.", "transformer.enc_output_norm."),
    (r"^transformer\.proposals\.query_projection\.", "transformer.pos_trans."),
    (r"^transformer\.proposals\.query_norm\.", "transformer.pos_trans_norm."),
    (r"^transformer\.decoder\.class_heads\.", "class_embed."),
    (r"^transformer\.decoder\.box_heads\.", "bbox_embed."),
    # the small detector has two decoder layers
    (r"^transformer\.proposals\.objectness_head\.", "class_embed.2."),
    (r"^transformer\.proposals\.box_head\.", "bbox_embed.2."),
]


def small_model(num_classes=NUM_PUBLISHED_CLASSES, **options):
    config = LazyConfig.load(str(MODELS / "medmask_small.py")).model
    config.transformer.num_classes = num_classes
    config.transformer.update({"box_refinement": False, "two_stage": False} | options)
    model = instantiate(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def publish(model):
    """What the official release would have saved for a small model."""
    published = {}
    for name, value in model.state_dict().items():
        is_objectness = "objectness_head" in name
        for ours, theirs in OFFICIAL_WORDS:
            name = re.sub(ours, theirs, name)
        if is_objectness:
            others = torch.randn(NUM_PUBLISHED_CLASSES - 1, *value.shape[1:])
            value = torch.cat((value, others))
        published[name] = value
        if name.startswith(("class_embed", "bbox_embed")):
            if model.transformer.two_stage:
                published[f"transformer.decoder.{name}"] = value
            elif not model.transformer.decoder.box_refinement:
                published[name.replace("embed.0.", "embed.1.")] = value
    return published


@pytest.mark.parametrize("options", [{}, {"box_refinement": True}, TWO_STAGE], ids=str)
def test_every_value_comes_back(options):
    model = small_model(**options)
    published = publish(model)
    conversion = convert_checkpoint(published, model.state_dict())
    expected = model.state_dict()
    assert conversion.state_dict.keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in conversion.state_dict.items())
    counters = {name for name in published if "num_batches_tracked" in name}
    assert conversion.mapped.keys() == published.keys() - counters
    assert conversion.family == "official Deformable DETR"
    assert conversion.is_complete
    assert not any((conversion.missing, conversion.skipped, conversion.unexpected))
    assert not conversion.warnings


@pytest.mark.parametrize(
    ("key_list", "options"),
    [
        ("medmask_checkpoint_keys", {"num_classes": 2}),
        ("deformable_detr_official_keys", {"num_classes": 91}),
        ("deformable_detr_two_stage_official_keys", {"num_classes": 91, **TWO_STAGE}),
    ],
)
def test_full_size_checkpoints_fill_the_full_size_model(key_list, options):
    path = KEY_LISTS / f"{key_list}.json"
    if not path.exists():
        pytest.skip(f"the list of published names {path} is absent")
    shapes = json.loads(path.read_text())
    published = {name: torch.ones(shape) for name, shape in shapes.items()}
    config = LazyConfig.load(str(MODELS / "medmask_r50.py")).model
    config.transformer.update(options)
    with torch.device("meta"):
        target = instantiate(config).state_dict()
    conversion = convert_checkpoint(published, target)
    assert {n: x.shape for n, x in conversion.state_dict.items()} == {
        n: x.shape for n, x in target.items()
    }
    assert not any((conversion.missing, conversion.skipped, conversion.unexpected))
    stages = {name for name in published if "mae" in name or "domain" in name}
    assert set(conversion.training_stages) == stages
    assert conversion.mapped.keys() == published.keys() - stages


def test_backbone_computes_the_same_features():
    theirs = resnet50().eval()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                for x in (module.weight, module.bias, module.running_mean, module.running_var):
                    x.uniform_(0.5, 1.5)
    prefix = "backbone.intermediate_getter."
    published = {prefix + name: x for name, x in theirs.state_dict().items()}
    published["transformer.level_embed"] = torch.zeros(4, 256)
    with torch.device("meta"):
        ours = instantiate(LazyConfig.load(str(MODELS / "medmask_r50.py")).model.backbone).eval()
    target = {f"backbone.{name}": x for name, x in ours.state_dict().items()}
    conversion = convert_checkpoint(published, target)
    assert conversion.family == "MedMask / D-MASTER / MRT"
    assert conversion.unexpected == [f"{prefix}fc.weight", f"{prefix}fc.bias"]
    state_dict = {n.removeprefix("backbone."): x for n, x in conversion.state_dict.items()}
    ours.load_state_dict(state_dict, assign=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = ours(image)
        expected = create_feature_extractor(theirs, {f"layer{i - 1}": f"res{i}" for i in (3, 4, 5)})
        torch.testing.assert_close(features, expected(image))


def test_two_stage_queries_are_position_then_content():
    model = small_model(**TWO_STAGE)
    published = publish(model)
    channels = model.transformer.level_embedding.shape[1]
    boxes = torch.rand(1, 40, 4)
    scores = torch.arange(40.0).flip(0)[None, :, None]
    proposals = ProposalOutput(scores, boxes, boxes, torch.ones(1, 40, dtype=torch.bool))
    with torch.no_grad():
        start = model.transformer.proposals.select(proposals)
    encoded = box_position_encoding(boxes[:, : start.queries.shape[1]], channels // 2)
    linear = nn.functional.linear(
        encoded, published["transformer.pos_trans.weight"], published["transformer.pos_trans.bias"]
    )
    both = nn.functional.layer_norm(
        linear,
        [2 * channels],
        published["transformer.pos_trans_norm.weight"],
        published["transformer.pos_trans_norm.bias"],
    )
    torch.testing.assert_close(start.query_positions, both[..., :channels])
    torch.testing.assert_close(start.queries, both[..., channels:])


def test_shared_heads_that_differ_are_reported_and_the_last_is_taken():
    model = small_model()
    published = publish(model)
    published["bbox_embed.0.layers.1.bias"] = torch.zeros_like(
        published["bbox_embed.1.layers.1.bias"]
    )
    conversion = convert_checkpoint(published, model.state_dict())
    head = "transformer.decoder.box_heads.0.layers.1.bias"
    assert torch.equal(conversion.state_dict[head], published["bbox_embed.1.layers.1.bias"])
    assert [s.name for s in conversion.skipped] == ["bbox_embed.0.layers.1.bias"]
    assert "box_refinement=True" in conversion.warnings[0]


@pytest.mark.parametrize(
    ("file_options", "model_options", "advice"),
    [
        ({"box_refinement": True}, {}, {"box_refinement=True"}),
        ({}, {"box_refinement": True}, {"box_refinement=False"}),
        (TWO_STAGE, {"box_refinement": True}, {"two_stage=True"}),
        ({}, TWO_STAGE, {"two_stage=False", "box_refinement=False"}),
    ],
    ids=str,
)
def test_another_architecture_is_reported(file_options, model_options, advice):
    published = publish(small_model(**file_options))
    conversion = convert_checkpoint(published, small_model(**model_options).state_dict())
    found = {w for w in re.findall(r"transformer\.(\w+=\w+)", " ".join(conversion.warnings))}
    assert found == advice


def test_another_number_of_classes_leaves_the_class_heads_out():
    target = small_model(num_classes=1, **TWO_STAGE).state_dict()
    conversion = convert_checkpoint(publish(small_model(**TWO_STAGE)), target)
    heads = [name for name in target if ".class_heads." in name]
    assert conversion.missing == conversion.missing_class_heads == heads
    assert {s.our_name for s in conversion.skipped} == set(heads)
    assert not conversion.is_complete
    report = format_report(conversion)
    assert "is 5 x 64 in the file and 1 x 64 in the model" in report
    assert "--class-rows" in report


@pytest.mark.parametrize("options", [{}, TWO_STAGE], ids=str)
def test_rows_of_published_class_heads_become_classes(options):
    published = publish(small_model(**options))
    target = small_model(num_classes=2, **options).state_dict()
    conversion = convert_checkpoint(published, target, class_rows=[3, 1])
    assert conversion.is_complete
    assert not any((conversion.skipped, conversion.unexpected, conversion.warnings))
    weight = conversion.state_dict["transformer.decoder.class_heads.0.weight"]
    assert torch.equal(weight, published["class_embed.0.weight"][[3, 1]])
    bias = conversion.state_dict["transformer.decoder.class_heads.0.bias"]
    assert torch.equal(bias, published["class_embed.0.bias"][[3, 1]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([5], "names row 5, but the file's class heads have the rows 0 to 4"),
        ([-1], "names row -1"),
        ([1, 2], "names 2 rows, but the model has 1 classes"),
        ([], "names 0 rows"),
        ([1, 1], "names a row twice"),
    ],
)
def test_rows_that_cannot_be_taken_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        convert_checkpoint(publish(small_model()), small_model(num_classes=1).state_dict(), rows)


def test_rows_need_class_heads():
    published = {n: x for n, x in publish(small_model()).items() if "class_embed" not in n}
    with pytest.raises(InputError, match="the file has none"):
        convert_checkpoint(published, small_model(num_classes=1).state_dict(), [1])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_taken(value):
    published = publish(small_model())
    published["input_proj.0.0.weight"][0] = value
    conversion = convert_checkpoint(published, small_model().state_dict())
    assert conversion.missing == ["neck.projections.0.0.weight"]
    assert "NaN or infinite" in conversion.skipped[0].reason


def test_another_number_of_queries_makes_the_model_incomplete():
    conversion = convert_checkpoint(publish(small_model()), small_model(num_queries=7).state_dict())
    assert conversion.missing == ["transformer.queries.embedding.weight"]
    assert not conversion.is_complete


def test_every_published_name_is_accounted_for():
    published = publish(small_model()) | {
        "transformer.mae_decoder.mask_query.weight": torch.zeros(1, 64),
        "domain_pred_dec.layers.0.weight": torch.zeros(64, 64),
        "transformer.encoder.layers.0.norm3.weight": torch.zeros(64),
        "something.else": torch.zeros(1),
    }
    wrapped = {f"module.{name}": x for name, x in published.items()}
    conversion = convert_checkpoint(wrapped, small_model().state_dict())
    assert conversion.is_complete
    assert conversion.training_stages == [
        "transformer.mae_decoder.mask_query.weight",
        "domain_pred_dec.layers.0.weight",
    ]
    assert conversion.unexpected == [
        "transformer.encoder.layers.0.norm3.weight",
        "something.else",
    ]
    verbose = format_report(conversion, verbose=True)
    counters = {name for name in published if "num_batches_tracked" in name}
    assert all(name in verbose for name in published.keys() - counters)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["transformer.level_embedding", "neck.projections.0.0.weight"], "own names already"),
        (["conv1.weight", "fc.bias"], "conv1.weight, fc.bias"),
    ],
)
def test_unknown_families_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        convert_checkpoint(dict.fromkeys(names, torch.zeros(1)), {})


def test_official_files_are_read_with_their_arguments(tmp_path):
    parameters = {"transformer.level_embed": torch.rand(2, 3)}
    content = {"model": parameters, "args": argparse.Namespace(lr=2e-4), "epoch": 49}
    torch.save(content, tmp_path / "official.pth", _use_new_zipfile_serialization=False)
    torch.save(parameters, tmp_path / "plain.pth")
    for name in ("official.pth", "plain.pth"):
        read = read_published_file(tmp_path / name)
        assert read.keys() == parameters.keys()
        assert torch.equal(read["transformer.level_embed"], parameters["transformer.level_embed"])


class RunsCode:
    def __reduce__(self):
        return exec, ("raise SystemExit('code from a checkpoint was run')",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}, "hook": RunsCode()}, "it holds .*exec"),
        ({"model": {}, "path": Path("x")}, "it holds pathlib"),
        ({"student": {"a": torch.zeros(1)}, "teacher": {}}, "student, teacher"),
        ({"model": {}}, "no parameters"),
        ({"model": {"a": torch.eye(3).to_sparse()}}, "sparse"),
        ({"model": {"a": torch.zeros(1, device="meta")}}, "without values"),
        ({"model": {"a": torch.zeros(1).expand(10**12)}}, "without values of their own"),
        ([torch.zeros(1)], "no state_dict"),
        (b"", "damaged"),
        (b"PK\x03\x04 cut off", "damaged"),
        (b"<html>404 not found</html>", "damaged"),
        (None, "cannot be opened"),
    ],
    ids=str,
)
def test_files_without_parameters_are_refused(tmp_path, content, message):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=f"^checkpoint {re.escape(str(path))} .*{message}"):
        read_published_file(path)


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
