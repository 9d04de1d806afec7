"""Every implementation of the operator against its definition."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from medmask.layers import ms_deform_attn

NAMES = ("output", "gradient of value", "gradient of locations", "gradient of weights")
# What a result may be wrong by, relative to its largest element: some roundings of sums, and for
# the halves one rounding of the result.
TOLERANCES = {
    torch.float64: 1e-13,
    torch.float32: 2e-6,
    torch.float16: 2**-11,
    torch.bfloat16: 2**-8,
}


def define(value, shapes, starts, locations, weights):
    """The definition: one query, head, level, point and pixel at a time, in float64."""
    value, locations, weights = value.double(), locations.double(), weights.double()
    N, _, M, D = value.shape
    Q, L, P = (locations.shape[i] for i in (1, 3, 4))
    output = torch.zeros(N, Q, M, D, dtype=torch.float64)
    for n, q, m, level, p in itertools.product(*map(range, (N, Q, M, L, P))):
        height, width = shapes[level].tolist()
        x, y = locations[n, q, m, level, p].tolist()
        column, row = x * width - 0.5, y * height - 0.5  # pixel i has its center at (i + 0.5) / w
        if not (math.isfinite(column) and math.isfinite(row)):
            continue
        for i, j in itertools.product(*((math.floor(c), math.floor(c) + 1) for c in (row, column))):
            if 0 <= i < height and 0 <= j < width:
                share = (1 - abs(row - i)) * (1 - abs(column - j))
                token = int(starts[level]) + i * width + j
                output[n, q, m] += weights[n, q, m, level, p] * share * value[n, token, m]
    return output.flatten(2)


def differentiate(value, shapes, starts, locations, weights, grad_output):
    """The same as a sum over all pixels of a map, each with a tent-shaped share; by autograd."""
    leaves = [x.detach().double().requires_grad_() for x in (value, locations, weights)]
    value, locations, weights = leaves
    output = 0
    for level, ((height, width), start) in enumerate(zip(shapes.tolist(), starts, strict=True)):
        x, y = locations[:, :, :, level].unbind(-1)
        columns = (1 - (x[..., None] * width - 0.5 - torch.arange(width)).abs()).relu()
        rows = (1 - (y[..., None] * height - 0.5 - torch.arange(height)).abs()).relu()
        maps = value[:, start : start + height * width].unflatten(1, (height, width))
        weight = weights[:, :, :, level]
        output = output + torch.einsum("nqmp,nqmpi,nqmpj,nijmd->nqmd", weight, rows, columns, maps)
    output = output.flatten(2)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output.double())


def assert_near(actual, expected, dtype):
    """All results are of their tensor's dtype and nearly as expected."""
    for name, a, e in zip(NAMES, actual, expected, strict=True):
        own = dtype if name in NAMES[:2] else a.dtype
        assert a.dtype == own
        atol = TOLERANCES[a.dtype] * float(e.abs().max()) if e.numel() else 0
        message = f"{name}: {{}}".format
        assert_close(a.cpu().double(), e, rtol=0, atol=atol, msg=message)


def random_gradient(inputs):
    value, locations = inputs[0], inputs[3]
    (N, _, M, D), Q = value.shape, locations.shape[1]
    return torch.randn(N, Q, M * D).to(value.dtype)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_output_and_gradients_are_as_defined(implementation, make_problem, dtype):
    inputs = make_problem(dtype=dtype)
    grad_output = random_gradient(inputs)
    expected = differentiate(*inputs, grad_output)
    assert_close(expected[0], define(*inputs), rtol=0, atol=1e-12)
    assert_near(implementation.gradients(inputs, grad_output), expected, dtype)


@pytest.mark.parametrize(
    "case",
    [
        *({"D": channels} for channels in (1, 3, 5, 16, 17, 32, 33, 64, 100)),
        {"P": 1},
        {"M": 1},
        {"sizes": [(3, 7)]},
        {"sizes": [(1, 1)]},
        {"sizes": [(1, 9), (9, 1), (1, 1), (2, 2)]},
        {"sizes": [(13, 11)], "Q": 2, "P": 1},  # more tokens than samples
        {"sizes": [(2, 2)], "Q": 40},  # many samples a token
        {"Q": 0},
        {"N": 0},
        {"P": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_size_is_as_defined(implementation, make_problem, case, dtype):
    inputs = make_problem(**{"N": 1, "Q": 4} | case, dtype=dtype)
    grad_output = random_gradient(inputs)
    expected = differentiate(*inputs, grad_output)
    assert_near(implementation.gradients(inputs, grad_output), expected, dtype)


def test_locations_on_centers_borders_and_corners(implementation, make_problem):
    """Every multiple of half a pixel, from a pixel outside the map to a pixel outside it."""
    height, width = 4, 2  # powers of two: these locations are exact in float32
    ys, xs = torch.arange(-2, 2 * height + 3) / (2 * height), torch.arange(-3, 8) / (2 * width)
    grid = torch.cartesian_prod(xs, ys)
    value, shapes, starts, _, _ = make_problem([(height, width)], N=1, M=1, D=3)
    weights = torch.ones(1, len(grid), 1, 1, 1)
    inputs = (value, shapes, starts, grid.view(1, -1, 1, 1, 1, 2), weights)
    output = implementation(*inputs).cpu()
    assert_close(output.double(), define(*inputs), rtol=0, atol=1e-6)
    size = torch.tensor([width, height])
    outside = ((grid <= -0.5 / size) | (grid >= 1 + 0.5 / size)).any(1)
    assert (output[0, outside] == 0).all()


def test_a_location_on_a_center_gives_the_pixel_itself(implementation, make_problem):
    height, width = 4, 2
    value, shapes, starts, _, _ = make_problem([(height, width)], N=1, M=1, D=3)
    centers = torch.cartesian_prod(torch.arange(height), torch.arange(width)).flip(1) + 0.5
    locations = (centers / torch.tensor([width, height])).view(1, -1, 1, 1, 1, 2)
    output = implementation(value, shapes, starts, locations, torch.ones(1, 8, 1, 1, 1))
    assert torch.equal(output.cpu(), value.flatten(2))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e9, -1e9, 3e38, -3e38, 2.0**31])
def test_impossible_locations_contribute_nothing(implementation, make_problem, bad):
    inputs = make_problem()
    value, shapes, starts, locations, weights = inputs
    hit = torch.rand(locations.shape) < 0.2
    hit_sample = hit.any(-1)
    expected = implementation.gradients((*inputs[:4], weights.masked_fill(hit_sample, 0)))
    inputs = (value, shapes, starts, locations.masked_fill(hit, bad), weights)
    output, grad_value, grad_locations, grad_weights = implementation.gradients(inputs)
    assert_close(output, expected[0])
    assert_close(grad_value, expected[1])
    assert (grad_locations[hit_sample] == 0).all()
    assert (grad_weights[hit_sample] == 0).all()
    assert_close(grad_locations[~hit_sample], expected[2][~hit_sample])
    assert_close(grad_weights[~hit_sample], expected[3][~hit_sample])


def test_a_weight_that_is_no_number_shows_in_its_query_and_head_only(implementation, make_problem):
    inputs = make_problem()
    expected = implementation(*inputs).unflatten(-1, (2, -1))
    inputs[4][1, 2, 1, 0, 1] = math.nan
    output = implementation(*inputs).unflatten(-1, (2, -1))
    assert output[1, 2, 1].isnan().all()
    output[1, 2, 1] = expected[1, 2, 1]
    assert torch.equal(output, expected)


def test_weights_of_zero_give_zero_but_can_be_learned(implementation, make_problem):
    inputs = make_problem()
    inputs[4].zero_()
    output, grad_value, grad_locations, grad_weights = implementation.gradients(inputs)
    for tensor in (output, grad_value, grad_locations):
        assert (tensor == 0).all()
    assert (grad_weights != 0).any()


def gaps_between(tensor):
    """The same numbers, none beside the next in memory."""
    spread = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), math.nan, dtype=tensor.dtype)
    spread[..., ::2] = tensor
    return spread[..., ::2]


def other_order(tensor):
    """The same numbers with the first two dimensions swapped in memory."""
    return tensor.transpose(0, 1).contiguous().transpose(0, 1)


@pytest.mark.parametrize("layout", [gaps_between, other_order])
def test_memory_layout_does_not_matter(implementation, make_problem, layout):
    inputs = make_problem()
    grad_output = random_gradient(inputs)
    expected = implementation.gradients(inputs, grad_output)
    value, shapes, starts, locations, weights = inputs
    strided = (layout(value), shapes.T.contiguous().T, gaps_between(starts.float()).long())
    strided += (layout(locations), layout(weights))
    assert not any(strided[i].is_contiguous() for i in (0, 1, 3, 4))
    assert_close(implementation.gradients(strided, layout(grad_output)), expected)


def test_an_expanded_gradient_is_read_right(implementation, make_problem):
    inputs = make_problem()
    ones = torch.ones(2, 6, 16)
    expected = implementation.gradients(inputs, ones)
    actual = implementation.gradients(inputs, torch.ones(()).expand_as(ones))
    assert_close(actual, expected)


@pytest.mark.parametrize("wanted", [(0,), (3,), (4,), (0, 4)], ids=str)
def test_only_the_gradients_that_are_needed(implementation, make_problem, wanted):
    inputs = list(make_problem(device=implementation.device))
    every = implementation.gradients(inputs)[1:]
    expected = [every[(0, 3, 4).index(i)] for i in wanted]
    for i in wanted:
        inputs[i].requires_grad_()
    actual = torch.autograd.grad(implementation(*inputs).sum(), [inputs[i] for i in wanted])
    assert_close(list(actual), expected)


def test_gradcheck(implementation, make_problem):
    value, shapes, starts, locations, weights = make_problem(
        [(2, 3), (1, 1)], N=1, Q=2, M=2, D=9, P=2, dtype=torch.float64, device=implementation.device
    )
    assert torch.autograd.gradcheck(
        lambda value, *others: implementation(value, shapes, starts, *others),
        [x.requires_grad_() for x in (value, locations, weights)],
    )


@pytest.mark.usefixtures("only_deterministic")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("N", "M", "Q"), [(1, 3, 200), (2, 4, 500), (1, 5, 20)])
def test_same_bits_in_every_run_and_with_any_number_of_threads(
    set_threads, make_problem, dtype, N, M, Q
):
    value, shapes, starts, *others = make_problem([(9, 7), (5, 4)], N, Q, M, D=20, dtype=dtype)
    leaves = [x.requires_grad_() for x in (value, *others)]
    grad_output = torch.randn(N, Q, M * 20, dtype=dtype)
    runs = []
    for number in (1, 1, 2, 2, 3):
        set_threads(number)
        output = ms_deform_attn(leaves[0], shapes, starts, *leaves[1:])
        runs.append((output, *torch.autograd.grad(output, leaves, grad_output)))
    for results in zip(*runs, strict=True):
        assert all(torch.equal(results[0], other) for other in results[1:])
