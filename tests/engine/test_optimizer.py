import torch
from torch import nn

from medmask.engine import build_parameter_groups


def test_every_trainable_parameter_is_in_one_group_with_its_rate():
    model = nn.ModuleDict(
        {
            "backbone": nn.Linear(2, 2),
            "sampling_offsets": nn.Linear(3, 3),
            "head": nn.Linear(4, 4),
            "frozen": nn.Linear(5, 5),
        }
    )
    model["frozen"].requires_grad_(False)
    factors = {"backbone": 0.1, "sampling_offsets": 0.5}
    groups = build_parameter_groups(model, lr=1.0, weight_decay=0.25, lr_factors=factors)

    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert len(rates) == sum(len(g["params"]) for g in groups) == 6
    for name, rate in {"backbone": 0.1, "sampling_offsets": 0.5, "head": 1.0}.items():
        assert all(rates[id(p)] == rate for p in model[name].parameters())
    assert {g["weight_decay"] for g in groups} == {0.25}
    torch.optim.AdamW(groups)
