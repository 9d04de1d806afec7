import pytest
import torch
from torch import nn

from medmask.errors import InputError
from medmask.solver.optimizer import build_parameter_groups


def make_model(*parts):
    """Linear layers at these paths, each of another size."""
    model = nn.Module()
    for size, path in enumerate(parts, 2):
        node = model
        *parents, last = path.split(".")
        for name in parents:
            if not hasattr(node, name):
                node.add_module(name, nn.Module())
            node = getattr(node, name)
        node.add_module(last, nn.Linear(size, size))
    return model


def rates(model, **options):
    """The learning rate of every trainable part."""
    groups = build_parameter_groups(model, lr=1.0, weight_decay=0.25, **options)
    torch.optim.AdamW(groups)
    assert {g["weight_decay"] for g in groups} == {0.25}
    by_id = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert len(by_id) == sum(len(g["params"]) for g in groups)  # each parameter once
    names = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(by_id) == set(map(id, names.values()))
    return {name.removesuffix(".weight"): by_id[id(p)] for name, p in names.items() if p.dim() > 1}


def test_every_trainable_parameter_is_in_one_group_with_its_rate():
    model = make_model("backbone", "sampling_offsets", "head", "frozen")
    model.frozen.requires_grad_(False)
    factors = {"backbone": 0.1, "sampling_offsets": 0.5}
    expected = {"backbone": 0.1, "sampling_offsets": 0.5, "head": 1.0}
    assert rates(model, lr_factors=factors) == expected


def test_part_of_the_model_is_no_other_part_of_that_name():
    model = make_model(
        "backbone.stem",
        "training_modules.discriminators.backbone",
        "training_modules.old_backbone",
        "encoder.sampling_offsets",
        "decoder.0.sampling_offsets",
        "decoder.0.resampling_offsets",
        "reference_points",
    )
    assert rates(model) == {
        "backbone.stem": 0.1,
        "training_modules.discriminators.backbone": 1.0,
        "training_modules.old_backbone": 1.0,
        "encoder.sampling_offsets": 0.1,
        "decoder.0.sampling_offsets": 0.1,
        "decoder.0.resampling_offsets": 1.0,
        "reference_points": 0.1,
    }


def test_part_may_be_named_by_its_path_and_the_first_that_fits_counts():
    model = make_model("decoder.head", "decoder.body", "encoder.head")
    factors = {"decoder.head": 0.5, "head": 0.25, "decoder": 0.1}
    expected = {"decoder.head": 0.5, "decoder.body": 0.1, "encoder.head": 0.25}
    assert rates(model, lr_factors=factors) == expected


def test_factor_for_no_parameter_is_refused_unless_it_is_none():
    model = make_model("backbone")
    with pytest.raises(InputError, match=r"optimizer\.params\.lr_factors\.neck is for no param"):
        build_parameter_groups(model, 1.0, 0.0, {"backbone": 0.1, "neck": 0.1})
    assert rates(model, lr_factors={"backbone": 0.1, "neck": None}) == {"backbone": 0.1}


def test_factor_for_frozen_parameters_is_none_of_a_mistake():
    model = make_model("backbone", "neck")
    model.backbone.requires_grad_(False)
    assert rates(model, lr_factors={"backbone": 0.1}) == {"neck": 1.0}
