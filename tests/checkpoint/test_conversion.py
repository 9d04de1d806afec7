import json
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from published_weights import MODELS, TWO_STAGE, publish, small_model
from torch import nn
from torchvision.models import resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from medmask.checkpoint import convert_checkpoint, format_report
from medmask.errors import InputError
from medmask.layers import box_position_encoding
from medmask.modeling.proposals import ProposalOutput

KEY_LISTS = Path(__file__).parents[2] / ".." / "shared" / "golden"


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
        ({"box_refinement": True}, {}, ["box_refinement=True"]),
        ({}, {"box_refinement": True}, ["box_refinement=False"]),
        (TWO_STAGE, {"box_refinement": True}, ["two_stage=True"]),
        ({}, TWO_STAGE, ["box_refinement=False", "two_stage=False"]),
    ],
    ids=str,
)
def test_another_architecture_is_reported(file_options, model_options, advice):
    published = publish(small_model(**file_options))
    conversion = convert_checkpoint(published, small_model(**model_options).state_dict())
    found = {w for w in re.findall(r"transformer\.(\w+=\w+)", " ".join(conversion.warnings))}
    assert sorted(found) == advice


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
        ([1, 2], "names 2 rows, but the number of classes is 1 "),
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
