"""What training starts from, and what inference demands."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.checkpoint.restricted_pickle import load_array_pickle
from medmask.errors import InputError


class Detector(nn.Module):
    """Names like those of the detector."""

    def __init__(self, num_classes=1, stages=()):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        self.transformer = nn.Module()
        self.transformer.decoder = nn.Module()
        self.transformer.decoder.class_heads = nn.ModuleList([nn.Linear(2, num_classes)])
        self.training_modules = nn.ModuleDict({name: nn.Linear(2, 2) for name in stages})


HEAD = "transformer.decoder.class_heads.0.weight"


def fill(model, value):
    with torch.no_grad():
        for x in model.state_dict().values():
            x.fill_(value)
    return model


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "weights.pth")


def start(model, path, **options):
    MedMaskCheckpointer(model).load_start_weights(path, **options)
    return {name: x.unique().tolist() for name, x in model.state_dict().items()}


def test_a_stage_goes_on_from_another_and_says_what_is_new(path, caplog):
    save_weights(fill(Detector(stages=["autoencoder", "expert"]), 3), path)
    caplog.set_level("INFO")
    values = start(fill(Detector(stages=["expert", "discriminators"]), 7), path)
    assert values.pop("training_modules.discriminators.weight") == [7]
    assert values.pop("training_modules.discriminators.bias") == [7]
    assert all(value == [3] for value in values.values())
    assert "new are parts of training_modules.discriminators" in caplog.text
    assert "unused is training_modules.autoencoder" in caplog.text


def test_counters_that_frozen_batchnorm_has_not_are_not_counted(path, caplog):
    save_weights(Detector(), path)
    model = Detector()
    del model.backbone[1].num_batches_tracked
    caplog.set_level("INFO")
    start(model, path)
    assert "8 of the model's 8 parameters are taken" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        lambda weights: weights.pop("training_modules.expert.bias"),
        lambda weights: weights.update({"training_modules.expert.bias": torch.zeros(3)}),
        lambda weights: weights.pop("backbone.0.weight"),
        lambda weights: weights.update(other=torch.zeros(1)),
        lambda weights: [weights.pop(n) for n in list(weights) if not n.startswith("backbone.")],
        lambda weights: [weights.pop(n) for n in list(weights) if n.startswith("backbone.")],
        lambda weights: weights["backbone.0.weight"].fill_(float("nan")),
    ],
)
def test_what_no_stage_adds_must_be_there(path, fault):
    model = fill(Detector(stages=["expert"]), 3)
    weights = model.state_dict()
    fault(weights)
    torch.save({"model": weights}, path)
    other = fill(Detector(stages=["expert"]), 7)
    with pytest.raises(InputError, match=r"weights\.pth does not fill the model"):
        MedMaskCheckpointer(other).load_start_weights(path)
    assert all((x == 7).all() for x in other.state_dict().values())


def test_stage_with_other_options_is_told_the_way_out(path):
    """Its part in the file is of another size."""
    weights = fill(Detector(stages=["expert"]), 3).state_dict()
    weights["training_modules.expert.weight"] = torch.zeros(3, 2)
    torch.save({"model": weights}, path)
    with pytest.raises(InputError, match=r"options of the loss hook .* such as its average_final"):
        MedMaskCheckpointer(Detector(stages=["expert"])).load_start_weights(path)


def test_class_heads_start_anew_only_if_that_is_asked_for(path, caplog):
    save_weights(fill(Detector(num_classes=2), 3), path)
    with pytest.raises(InputError, match=r"2 x 2 in the file.*train\.fresh_class_heads=True"):
        start(Detector(), path)
    caplog.set_level("INFO")
    values = start(fill(Detector(), 7), path, fresh_class_heads=True)
    assert values[HEAD] == [7]
    assert values["backbone.0.weight"] == [3]
    assert "new are parts of transformer.decoder" in caplog.text


def test_class_heads_that_fit_are_taken(path):
    save_weights(fill(Detector(), 3), path)
    assert start(fill(Detector(), 7), path, fresh_class_heads=True)[HEAD] == [3]


@pytest.mark.parametrize("protocol", [2, 5])
def test_model_zoo_pickles_fill_the_backbone(tmp_path, protocol, caplog):
    arrays = {  # the zoo's backbones know nothing of the detector around them
        name: np.full(tuple(x.shape), 4, np.float32)
        for name, x in Detector().backbone.state_dict().items()
        if x.dim()
    }
    arrays["fc.weight"] = np.zeros((5, 2), np.float32)
    content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    path = tmp_path / "R-50.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    caplog.set_level("INFO")
    values = start(fill(Detector(), 7), str(path))
    assert values.pop(HEAD) == values.pop(HEAD.replace("weight", "bias")) == [7]
    assert values.pop("backbone.1.num_batches_tracked") == [7]
    assert all(value == [4] for value in values.values())
    assert "unused is 1 other parameter" in caplog.text

    del arrays["1.running_var"]
    path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(InputError, match=r"1 of 6 missing \(backbone.1.running_var\)"):
        start(Detector(), str(path))


def test_names_that_match_several_of_the_model(tmp_path):
    path = tmp_path / "R-50.pkl"
    content = {"model": {"bias": np.ones(2, np.float32)}, "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match="cannot be matched"):
        start(Detector(), str(path))


def test_no_file_is_from_scratch(caplog):
    caplog.set_level("INFO")
    assert start(fill(Detector(), 7), "")[HEAD] == [7]
    assert "names no weights" in caplog.text


def test_addresses_that_cannot_be_fetched_are_named():
    with pytest.raises(
        InputError, match=r"^checkpoint http://localhost:9/w\.pth cannot be fetched"
    ):
        start(Detector(), "http://localhost:9/w.pth")


def test_inference_needs_no_training_module_and_everything_else(path):
    model = fill(Detector(stages=["expert"]), 3)
    save_weights(model, path)
    plain = Detector()
    MedMaskCheckpointer(plain).load_for_inference(path)
    assert all((x == 3).all() for x in plain.state_dict().values())

    weights = model.state_dict()
    for name in plain.state_dict():
        torch.save({"model": {n: x for n, x in weights.items() if n != name}}, path)
        with pytest.raises(InputError, match=f"1 of 9 missing .{name}"):
            MedMaskCheckpointer(Detector()).load_for_inference(path)
    with pytest.raises(InputError, match="no checkpoint is named"):
        MedMaskCheckpointer(Detector()).load_for_inference("")


@pytest.mark.parametrize("wrap", [dict, lambda x: {"state_dict": x}, lambda x: {"model": x}])
def test_weights_may_lie_in_either_entry_or_be_the_file(path, wrap):
    weights = fill(Detector(), 3).state_dict()
    torch.save(wrap({f"module.{n}": x for n, x in weights.items()}), path)
    model = Detector()
    MedMaskCheckpointer(model).load_for_inference(path)
    assert all((x == 3).all() for x in model.state_dict().values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_saved(tmp_path, value):
    model = fill(Detector(), 3)
    optimizer = torch.optim.Adam(model.parameters())
    model.backbone(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    checkpointer = MedMaskCheckpointer(model, str(tmp_path), optimizer=optimizer)
    checkpointer.save("model_1")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    moment = optimizer.state[model.backbone[0].weight]["exp_avg"]
    for tensor, name in [
        (moment, "optimizer.state.0.exp_avg"),
        (model.backbone[0].bias.data, "model.backbone.0.bias"),
        (model.backbone[1].running_mean, "model.backbone.1.running_mean"),
    ]:
        kept = tensor.clone()
        tensor[0] = value
        with pytest.raises(InputError, match=f"model_2 is not saved.*{name}"):
            checkpointer.save("model_2")
        if tensor is not moment:
            with pytest.raises(InputError, match=r"weights\.pth is not saved"):
                save_weights(model, tmp_path / "weights.pth")
        tensor.copy_(kept)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("number", [b"r\xff\xff\xff\x0f", b"p268435455\n"], ids=["binary", "text"])
def test_pickle_that_numbers_values_beyond_all_takes_no_memory(tmp_path, number):
    """A dozen bytes would take gigabytes."""
    path = tmp_path / "backbone.pkl"
    path.write_bytes(b"\x80\x02}" + number + b".")
    with pytest.raises(InputError, match=r"backbone\.pkl was not loaded: it numbers more values"):
        load_array_pickle(str(path))
