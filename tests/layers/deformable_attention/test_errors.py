"""Arguments that do not fit are refused in a sentence that names them."""

import re

import pytest
import torch

from medmask.layers import available_implementations, ms_deform_attn, ms_deform_attn_pytorch

NAMES = ("value", "spatial_shapes", "level_start_index", "sampling_locations", "attention_weights")
SIZES = [(5, 4), (2, 3)]

BUILT = "cpu" in available_implementations()
public = pytest.param(ms_deform_attn, id="ms_deform_attn")
plain = pytest.param(ms_deform_attn_pytorch, id="plain")
compiled = [pytest.param(torch.ops.medmask.ms_deform_attn, id="compiled")] if BUILT else []


def refuse(function, inputs, sentence):
    """Expect the sentence, which may be the beginning of a longer one, and nothing below it."""
    with pytest.raises(ValueError, match="^" + re.escape(sentence)) as caught:
        function(*inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [public, *compiled])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("value", lambda x: x.flatten(2)),
        ("value", lambda x: x.long()),
        ("spatial_shapes", lambda x: x[:1]),
        ("spatial_shapes", lambda x: x.flatten()),
        ("spatial_shapes", lambda x: x.int()),
        ("level_start_index", lambda x: x[:1]),
        ("level_start_index", lambda x: x.float()),
        ("sampling_locations", lambda x: x[..., 0]),
        ("sampling_locations", lambda x: x[..., :1]),
        ("sampling_locations", lambda x: x[:1]),
        ("sampling_locations", lambda x: x[:, :, :1]),
        ("sampling_locations", lambda x: x.long()),
        ("attention_weights", lambda x: x[:, :2]),
        ("attention_weights", lambda x: x[..., :1]),
        ("attention_weights", lambda x: x.flatten(3)),
        ("attention_weights", lambda x: x.bool()),
    ],
)
def test_wrong_shapes_and_dtypes(make_problem, function, name, change):
    inputs = list(make_problem(SIZES))
    position = NAMES.index(name)
    inputs[position] = change(inputs[position])
    refuse(function, inputs, f"{name} must ")


@pytest.mark.parametrize("name", NAMES[1:])
def test_wrong_devices(make_problem, name):
    inputs = list(make_problem(SIZES))
    position = NAMES.index(name)
    inputs[position] = inputs[position].to("meta")
    refuse(ms_deform_attn, inputs, f"{name} must be on value's device, cpu, but is on meta")


def test_the_sentence_tells_what_is_wanted_and_what_came(make_problem):
    value, shapes, starts, locations, weights = make_problem(SIZES)
    for change, sentence in (
        (weights[:, :2], "(N, Q, M, L, P) = (2, 6, 2, 2, 3), but its shape is (2, 2, 2, 2, 3)"),
        (
            weights.int(),
            "torch.float32 or torch.float64 or torch.bfloat16 or torch.float16, but is torch.int32",
        ),
    ):
        inputs = (value, shapes, starts, locations, change)
        refuse(ms_deform_attn, inputs, f"attention_weights must be {sentence}")


@pytest.mark.parametrize("function", [public, plain, *compiled])
@pytest.mark.parametrize(
    ("sizes", "starts", "sentence"),
    [
        ([(5, 4), (2, 2)], [0, 20], "spatial_shapes must hold as many cells as value has tokens"),
        ([(5, 4), (2, 4)], [0, 20], "spatial_shapes must hold as many cells as value has tokens"),
        ([(5, 4), (2**40, 2**40)], [0, 20], "spatial_shapes must hold as many cells as value has"),
        ([(5, 4), (-2, -3)], [0, 20], "spatial_shapes[1] must be positive, but is -2 x -3"),
        ([(0, 4), (13, 2)], [0, 0], "spatial_shapes[0] must be positive, but is 0 x 4"),
        ([(5, 4), (2, 3)], [0, 19], "level_start_index[1] must be 20"),
        ([(5, 4), (2, 3)], [6, 0], "level_start_index[0] must be 0"),
        ([(5, 4), (2, 3)], [0, -1], "level_start_index[1] must be 20"),
    ],
)
def test_levels_that_do_not_fill_the_tokens(make_problem, function, sizes, starts, sentence):
    inputs = list(make_problem(SIZES))
    inputs[1:3] = torch.tensor(sizes), torch.tensor(starts)
    refuse(function, inputs, sentence)


@pytest.mark.skipif(not BUILT, reason="the extension is not built")
def test_a_gradient_that_does_not_fit(make_problem):
    for gradient in (torch.randn(2, 2, 16), torch.randn(2, 6, 16).double()):
        inputs = (gradient, *make_problem(SIZES))
        refuse(torch.ops.medmask.ms_deform_attn_backward, inputs, "grad_output must ")
