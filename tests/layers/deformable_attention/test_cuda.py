"""What only the CUDA kernels have: two ways of summing up, blocks of queries, images in portions.

The other tests of the operator run on CUDA devices, too.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from medmask.layers import (
    available_implementations,
    ms_deform_attn,
    ms_deform_attn_fused,
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)

DEVICE = "cuda"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.skipif(
        "cuda" not in available_implementations(), reason="the CUDA kernels are not built"
    ),
]

# What a result may be wrong by, relative to its largest element: some roundings of sums, and for
# the halves one rounding of the result.
TOLERANCES = {
    torch.float64: 1e-13,
    torch.float32: 5e-6,
    torch.float16: 2**-10,
    torch.bfloat16: 2**-7,
}
PLAIN = {
    ms_deform_attn: ms_deform_attn_pytorch,
    ms_deform_attn_fused: ms_deform_attn_fused_pytorch,
}
both_operators = pytest.mark.parametrize("operator", PLAIN, ids=lambda x: x.__name__)


@pytest.fixture
def make_inputs(make_problem, make_fused_problem):
    """Arguments of either operator on the device."""

    def make(operator, **options):
        make_own = make_problem if operator is ms_deform_attn else make_fused_problem
        return make_own(device=DEVICE, **options)

    return make


def run(operator, inputs, grad_output=None):
    """The output and the gradients of all floating-point inputs."""
    value, shapes, starts, *samples = inputs
    leaves = [x.detach().requires_grad_() for x in (value, *samples)]
    output = operator(leaves[0], shapes, starts, *leaves[1:])
    if grad_output is None:
        channels = torch.arange(output.shape[-1]) % 7 - 3  # exact in every dtype
        grad_output = channels.to(output).expand_as(output)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output)


def run_exactly(operator, inputs):
    """The same in plain PyTorch and float64."""
    inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    return run(PLAIN[operator], inputs)


def assert_near(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        atol = TOLERANCES[a.dtype] * float(e.abs().max())
        assert_close(a.double(), e.double(), rtol=0, atol=atol)


@both_operators
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("D", [32, 20, 64])
def test_deterministic_sums(request, make_inputs, operator, dtype, D):
    """They have the same bits in each run, and the value of the others."""
    inputs = make_inputs(operator, sizes=[(9, 7), (3, 2)], N=3, Q=70, D=D, P=4, dtype=dtype)
    expected = run(operator, inputs)
    request.getfixturevalue("only_deterministic")
    first, second = run(operator, inputs), run(operator, inputs)
    torch.use_deterministic_algorithms(False)  # grid_sample has none
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert_near(first, expected)
    assert_near(first, run_exactly(operator, inputs))


@both_operators
@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e30])
@pytest.mark.usefixtures("only_deterministic")
def test_deterministic_sums_of_any_size(make_inputs, operator, factor):
    inputs = make_inputs(operator)
    grad_output = torch.randn(2, 6, 16, device=DEVICE)
    _, expected, *_ = run(operator, inputs, grad_output)
    _, grad_value, *_ = run(operator, inputs, factor * grad_output)
    assert_near([grad_value / factor], [expected])


@both_operators
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.usefixtures("only_deterministic")
def test_deterministic_sums_hide_nothing_that_is_not_finite(make_inputs, operator, bad):
    """A gradient scaler looks for it."""
    inputs = make_inputs(operator, dtype=torch.float16)
    grad_output = torch.ones(2, 6, 16, device=DEVICE, dtype=torch.float16)
    grad_output[1, 2, 3] = bad
    assert not run(operator, inputs, grad_output)[1].isfinite().all()


@both_operators
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_blocks_full_of_queries(make_inputs, operator, dtype):
    """As many queries as make a block as large as it gets; few fill the last one of each head."""
    options = {"sizes": [(9, 7), (3, 2)], "N": 2, "Q": 8195, "M": 4, "D": 32}
    inputs = make_inputs(operator, **options, dtype=dtype)
    assert_near(run(operator, inputs), run_exactly(operator, inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_blocks_full_of_queries_in_half_precision(make_inputs, dtype):
    """Not fused: of so many rounded offsets, one would lead to the line between two pixels."""
    options = {"sizes": [(9, 7), (3, 2)], "N": 2, "Q": 8195, "M": 4, "D": 32}
    inputs = make_inputs(ms_deform_attn, **options, dtype=dtype)
    assert_near(run(ms_deform_attn, inputs), run_exactly(ms_deform_attn, inputs))


@both_operators
@pytest.mark.parametrize("deterministic", [False, True])
def test_images_in_portions(request, make_inputs, operator, deterministic):
    """So many tokens that the sums of one image at a time are kept, or of two."""
    if deterministic:
        request.getfixturevalue("only_deterministic")
    for height in (80, 160):
        inputs = make_inputs(
            operator, sizes=[(height, 200)], N=3, Q=9, M=8, D=32, dtype=torch.bfloat16
        )
        found = run(operator, inputs)[:2]
        with_order = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)  # grid_sample has none
        assert_near(found, run_exactly(operator, inputs)[:2])
        torch.use_deterministic_algorithms(with_order)


@both_operators
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_rows_that_are_not_aligned(make_inputs, operator, dtype):
    inputs = list(make_inputs(operator, D=32, dtype=dtype))
    expected = run(operator, inputs)
    shifted = torch.zeros(*inputs[0].shape[:-1], 33, dtype=dtype, device=DEVICE)[..., 1:]
    inputs[0] = shifted.copy_(inputs[0])
    assert_near(run(operator, inputs), expected)


@both_operators
def test_many_samples_a_query(make_inputs, operator):
    """They make blocks smaller, until they do not fit."""
    for points in (40, 60):
        inputs = make_inputs(operator, sizes=[(3, 4)] * 4, Q=40, D=32, P=points)
        assert_near(run(operator, inputs), run_exactly(operator, inputs))
    inputs = make_inputs(operator, sizes=[(3, 4)] * 4, P=1000)
    with pytest.raises(ValueError, match="too many samples a query and head, 4000"):
        operator(*inputs)


@both_operators
def test_a_stream_of_ones_own(make_inputs, operator):
    inputs = make_inputs(operator, Q=500)
    expected = run(operator, inputs)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        actual = run(operator, inputs)
    stream.synchronize()
    assert_near(actual, expected)
