import copy

import pytest
import torch

from medmask.stages.masked_autoencoding.target_network import TARGET_NETWORKS, TargetNetwork


def move(model):
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter += 1


def start(kind, model, decay=0.9):
    network = TargetNetwork(kind, decay)
    network.build(model)
    move(model)  # weights are loaded after build()
    network.start(model)
    return network


def test_own_maps_need_no_copy(make_model):
    assert start("model", make_model()).backbone is None


def test_copy_of_the_start_stays(make_model):
    model = make_model()
    network = start("start", model)
    before = copy.deepcopy(model.backbone.state_dict())
    move(model)
    network.follow(model)
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_average_follows_by_one_less_the_decay(make_model):
    model = make_model()
    network = start("average", model, decay=0.9)
    before = {name: p.clone() for name, p in model.backbone.named_parameters()}
    move(model)
    network.follow(model)
    for name, parameter in network.backbone.named_parameters():
        torch.testing.assert_close(parameter, before[name] + 0.1)


@pytest.mark.parametrize("kind", TARGET_NETWORKS)
def test_state_restores_the_copy(make_model, kind):
    model, other = make_model(), make_model()
    network = start(kind, model)
    restored = TargetNetwork(kind, 0.9)
    restored.build(other)
    restored.load_state_dict(network.state_dict())
    assert restored.state_dict().keys() == network.state_dict().keys()
    for name, value in restored.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


def test_copy_is_not_trained(make_model):
    network = start("start", make_model())
    assert not network.backbone.training
    assert not any(p.requires_grad for p in network.backbone.parameters())
