import re

import pytest
import torch

from medmask.errors import InputError
from medmask.modeling.weights import check_inference_weights, check_weights, find_faults

WEIGHT = "0.weight"


@pytest.fixture
def model():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w.T, "is 3 x 4 in the file and 4 x 3 in the model"),
        (lambda w: w[:2], "is 2 x 3 in the file"),
        (lambda w: w[:0], "is 0 x 3 in the file"),
        (lambda w: torch.tensor(1.0), "is a single number in the file"),
        (lambda w: torch.full_like(w, float("nan")), "NaN or infinite"),
        (lambda w: w.clone().index_fill_(0, torch.tensor([3]), float("-inf")), "NaN or infinite"),
        (lambda w: torch.full_like(w, 1e300, dtype=torch.float64), "NaN or infinite"),
        (lambda w: w.int(), "is of int32, not of floating point"),
        (lambda w: w > 0, "is of bool"),
        (lambda w: w.to(torch.complex64), "is of complex64"),
        (lambda w: w.to(torch.float8_e4m3fn), "is of float8_e4m3fn"),
        (lambda w: w.to_sparse(), "no plain dense tensor"),
        (lambda w: w.to("meta"), "has no values"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "is quantized"),
        (lambda w: torch.zeros(1).expand(4, 3), "share their memory"),
        (lambda w: torch.zeros(4).as_strided((4, 3), (1, 0)), "share their memory"),
        (lambda w: torch.zeros(8).as_strided((4, 3), (1, 2)), "share their memory"),
        (lambda w: None, "is no tensor"),
        (lambda w: [[1.0] * 3] * 4, "is no tensor"),
    ],
)
def test_values_that_a_model_cannot_take(model, change, reason):
    weights = model.state_dict()
    weights[WEIGHT] = change(weights[WEIGHT])
    with pytest.raises(InputError, match=rf"^file does not fill .*1 cannot be taken.*{reason}"):
        check_weights(weights, model.state_dict(), "file")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.half(),
        lambda w: w.bfloat16(),
        lambda w: w.double(),
        lambda w: w.T.contiguous().T,
        lambda w: torch.cat((w, w))[::2],
        torch.nn.Parameter,
    ],
)
def test_values_in_other_forms_are_taken(model, change):
    weights = model.state_dict()
    weights[WEIGHT] = change(weights[WEIGHT])
    check_weights(weights, model.state_dict(), "file")


def test_buffers_are_checked_like_parameters(model):
    for name, value, reason in [
        ("1.running_var", torch.tensor([1, 1, 1, -1.0]), "negative variances"),
        ("1.running_mean", torch.full((4,), float("nan")), "NaN"),
        ("1.num_batches_tracked", torch.tensor(1.0), "is of float32, not of int64"),
    ]:
        faults = find_faults(model.state_dict() | {name: value}, model.state_dict())
        assert reason in faults.misfits[name]


def test_every_kind_of_fault_is_counted(model):
    weights = model.state_dict() | {"new": torch.zeros(1), WEIGHT: torch.zeros(1)}
    del weights["0.bias"], weights["1.bias"]
    message = (
        "2 of 7 missing (0.bias, 1.bias); 1 cannot be taken (0.weight is 1 in the file and "
        "4 x 3 in the model); 1 unknown to the model (new)"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        check_weights(weights, model.state_dict(), "file")


def test_names_of_a_file_are_shown_in_one_printable_line(model):
    weights = model.state_dict() | {"a\nb\x1b[31m\ud800" + "x" * 1000: torch.zeros(1)}
    with pytest.raises(InputError, match=r"a\?b\?\[31m\?xxx") as error:
        check_weights(weights, model.state_dict(), "file")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_inference_passes_training_modules_over_and_nothing_else(model):
    model.training_modules = torch.nn.ModuleDict({"stage": torch.nn.Linear(2, 2)})
    weights = {n: x for n, x in model.state_dict().items() if not n.startswith("training_modules")}
    check_inference_weights(model, weights, "file")
    check_inference_weights(model, weights | {"training_modules.other.x": None}, "file")
    with pytest.raises(InputError, match="unknown to the model"):
        check_inference_weights(model, weights | {"trainingmodules.x": torch.zeros(1)}, "file")


def test_a_frozen_batchnorm_needs_no_counter(model):
    expected = {n: x for n, x in model.state_dict().items() if not n.endswith("tracked")}
    check_weights(model.state_dict(), expected, "file")
    with pytest.raises(InputError, match=r"1 unknown to the model \(7\.num_batches_tracked\)"):
        check_weights(model.state_dict() | {"7.num_batches_tracked": 0}, expected, "file")
