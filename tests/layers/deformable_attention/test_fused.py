"""Every implementation of the fused operator against the other operator in float64."""

import math
import os
import re
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from medmask.layers import available_implementations, ms_deform_attn_fused, ms_deform_attn_pytorch

NAMES = ("output", "value", "reference_points", "sampling_offsets", "attention_logits")
# What a result may be wrong by, relative to its largest element: the rounding of locations, which
# grows with the map, and for the halves one rounding of the result.
TOLERANCES = {
    torch.float64: 1e-13,
    torch.float32: 5e-6,
    torch.float16: 2**-11,
    torch.bfloat16: 2**-8,
}


def define(inputs, grad_output):
    """Output and gradients by way of locations and weights, with PyTorch's autograd in float64."""
    _, shapes, starts, *_ = inputs
    leaves = [x.detach().cpu().double().requires_grad_() for x in (inputs[0], *inputs[3:])]
    value, references, offsets, logits = leaves
    points, sizes = references[:, :, None, :, None, :2], references[:, :, None, :, None, 2:]
    if references.shape[-1] == 2:  # cells of the map
        locations = points + offsets / shapes.cpu().flip(1)[:, None]
    else:  # fractions of half the box, divided among the points
        locations = points + offsets / offsets.shape[-2] * sizes / 2
    exponentials = (logits - logits.amax((-2, -1), keepdim=True)).exp()
    weights = exponentials / exponentials.sum((-2, -1), keepdim=True)
    output = ms_deform_attn_pytorch(value, shapes.cpu(), starts.cpu(), locations, weights)
    return output.detach(), *torch.autograd.grad(output, leaves, grad_output.double())


def random_gradient(inputs):
    value, offsets = inputs[0], inputs[4]
    (N, _, M, D), Q = value.shape, offsets.shape[1]
    return torch.randn(N, Q, M * D).to(value.dtype)


def assert_near(actual, expected, inputs):
    dtypes = (inputs[0].dtype, inputs[0].dtype, *(x.dtype for x in inputs[3:]))
    for name, dtype, a, e in zip(NAMES, dtypes, actual, expected, strict=True):
        assert a.dtype == dtype
        tolerance = max(TOLERANCES[dtype], TOLERANCES[torch.float32] * (dtype != torch.float64))
        atol = tolerance * float(e.abs().max()) if e.numel() else 0
        assert_close(a.cpu().double(), e, rtol=0, atol=atol, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("boxes", [False, True], ids=["points", "boxes"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_output_and_gradients_are_as_defined(
    fused_implementation, make_fused_problem, boxes, dtype
):
    inputs = make_fused_problem(boxes=boxes, dtype=dtype)
    grad_output = random_gradient(inputs)
    actual = fused_implementation.gradients(inputs, grad_output)
    assert_near(actual, define(inputs, grad_output), inputs)


@pytest.mark.parametrize(
    "case",
    [
        *({"D": channels} for channels in (1, 5, 16, 24, 32, 48, 100)),
        {"P": 1},
        {"M": 1},
        {"sizes": [(1, 1)]},
        {"sizes": [(1, 9), (9, 1), (1, 1), (2, 2)]},
        {"sizes": [(13, 11)], "Q": 2, "P": 1},  # more tokens than samples
        {"sizes": [(5, 5), (2, 2), (1, 2)], "Q": 80, "D": 32, "P": 4},  # many samples a token
        {"P": 8, "sizes": [(3, 3)] * 5},
        {"Q": 0},
        {"N": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_size_is_as_defined(fused_implementation, make_fused_problem, case, dtype):
    inputs = make_fused_problem(**{"N": 1, "Q": 4, "boxes": "P" in case} | case, dtype=dtype)
    grad_output = random_gradient(inputs)
    actual = fused_implementation.gradients(inputs, grad_output)
    assert_near(actual, define(inputs, grad_output), inputs)


@pytest.mark.usefixtures("only_deterministic")  # memory that nobody writes to is NaN then
@pytest.mark.parametrize("boxes", [False, True], ids=["points", "boxes"])
def test_without_points_output_and_gradients_are_zero(
    fused_implementation, make_fused_problem, boxes
):
    inputs = make_fused_problem(boxes=boxes, P=0)
    for result in fused_implementation.gradients(inputs):
        assert torch.equal(result, torch.zeros_like(result))


def test_gradcheck(fused_implementation, make_fused_problem):
    device = fused_implementation.device
    for boxes in (False, True):
        value, shapes, starts, *samples = make_fused_problem(
            boxes, sizes=[(2, 3), (1, 1)], N=1, Q=2, D=9, P=2, dtype=torch.float64, device=device
        )
        assert torch.autograd.gradcheck(
            lambda value, *others, s=shapes, t=starts: fused_implementation(value, s, t, *others),
            [x.requires_grad_() for x in (value, *samples)],
        )


@pytest.mark.parametrize("boxes", [False, True], ids=["points", "boxes"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
def test_impossible_offsets_contribute_nothing(
    fused_implementation, make_fused_problem, boxes, bad
):
    """The sample keeps its share of the softmax; its location gets no gradient."""
    inputs = list(make_fused_problem(boxes))
    hit = torch.rand(inputs[4].shape) < 0.2
    hit_sample = hit.any(-1)
    far = inputs[4].masked_fill(hit, 1e4)
    expected = fused_implementation.gradients((*inputs[:4], far, inputs[5]))
    inputs[4] = inputs[4].masked_fill(hit, bad)
    actual = fused_implementation.gradients(inputs)
    assert_close(actual, expected)
    assert (actual[3][hit_sample] == 0).all()


def test_logits_of_any_size(fused_implementation, make_fused_problem):
    """The softmax neither overflows nor divides by zero; a logit of -inf is a weight of 0."""
    inputs = list(make_fused_problem())
    inputs[5] = inputs[5] * 200
    inputs[5][0, 0, 0, 0, 0] = -math.inf
    grad_output = random_gradient(inputs)
    actual = fused_implementation.gradients(inputs, grad_output)
    assert_near(actual, define(inputs, grad_output), inputs)


def test_a_logit_that_is_no_number_shows_in_its_query_and_head_only(
    fused_implementation, make_fused_problem
):
    inputs = make_fused_problem()
    grad_output = random_gradient(inputs)
    _, _, _, *expected_gradients = fused_implementation.gradients(inputs, grad_output)
    expected = fused_implementation(*inputs).unflatten(-1, (2, -1))
    inputs[5][1, 2, 1, 0, 1] = math.nan
    _, _, _, *gradients = fused_implementation.gradients(inputs, grad_output)
    output = fused_implementation(*inputs).unflatten(-1, (2, -1))
    assert output[1, 2, 1].isnan().all()
    output[1, 2, 1] = expected[1, 2, 1]
    assert torch.equal(output, expected)
    for gradient, finite in zip(gradients, expected_gradients, strict=True):
        assert gradient[1, 2, 1].isnan().any()
        gradient[1, 2, 1] = finite[1, 2, 1]
        assert torch.equal(gradient, finite)


def test_references_without_a_gradient_cost_nothing_and_change_nothing(
    fused_implementation, make_fused_problem
):
    inputs = make_fused_problem(boxes=True, device=fused_implementation.device)
    expected = fused_implementation.gradients(inputs)
    value, shapes, starts, references, *others = inputs
    leaves = [x.detach().requires_grad_() for x in (value, *others)]
    output = fused_implementation(leaves[0], shapes, starts, references, *leaves[1:])
    actual = torch.autograd.grad(output.sum(), leaves)
    assert_close(actual, (expected[1], *expected[3:]))


@pytest.mark.usefixtures("only_deterministic")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("N", "M", "Q"), [(1, 3, 200), (2, 4, 500), (1, 5, 20)])
def test_same_bits_in_every_run_and_with_any_number_of_threads(
    set_threads, make_fused_problem, dtype, N, M, Q
):
    value, shapes, starts, *samples = make_fused_problem(
        boxes=True, sizes=[(9, 7), (5, 4)], N=N, Q=Q, M=M, D=36, dtype=dtype
    )
    leaves = [x.requires_grad_() for x in (value, *samples)]
    grad_output = torch.randn(N, Q, M * 36, dtype=dtype)
    runs = []
    for number in (1, 1, 2, 2, 3):
        set_threads(number)
        output = ms_deform_attn_fused(leaves[0], shapes, starts, *leaves[1:])
        runs.append((output, *torch.autograd.grad(output, leaves, grad_output)))
    for results in zip(*runs, strict=True):
        assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(make_fused_problem, dtype):
    inputs = make_fused_problem(dtype=dtype)
    grad_output = torch.randn(2, 6, 16, dtype=dtype)
    for need_grad in (False, True):
        torch.library.opcheck(
            torch.ops.medmask.ms_deform_attn_fused_backward, (grad_output, *inputs, need_grad)
        )
    for i in (0, 3, 4, 5):
        inputs[i].requires_grad_()
    torch.library.opcheck(torch.ops.medmask.ms_deform_attn_fused, inputs)


OTHER_MACHINE = """
import sys
import torch
from medmask.layers import ms_deform_attn, ms_deform_attn_fused
assert torch.backends.cpu.get_cpu_capability() == sys.argv[2]
results = []
for inputs in torch.load(sys.argv[1], weights_only=True):
    value, shapes, starts, *samples = inputs
    leaves = [x.requires_grad_() for x in (value, *samples)]
    function = ms_deform_attn if len(samples) == 2 else ms_deform_attn_fused
    output = function(leaves[0], shapes, starts, *leaves[1:])
    grad_output = (torch.arange(output.shape[-1]) % 7 - 3).to(output).expand_as(output)
    results.append((output.detach(), *torch.autograd.grad(output, leaves, grad_output)))
torch.save(results, sys.argv[1])
"""


@pytest.mark.skipif("cpu" not in available_implementations(), reason="the extension is not built")
@pytest.mark.parametrize("capability", ["DEFAULT", "AVX2"])
def test_lesser_machines(make_problem, make_fused_problem, tmp_path, capability):
    """The kernels for machines without AVX-512 or AVX2, which PyTorch is told that this one is."""
    order = ["DEFAULT", "AVX2", "AVX512"]
    here = torch.backends.cpu.get_cpu_capability()
    if here not in order or order.index(here) <= order.index(capability):
        pytest.skip(f"this machine is {here}: other tests run its kernels")
    problems = []
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        for channels in (32, 25):
            options = {"sizes": [(6, 5), (3, 2)], "Q": 30, "D": channels, "dtype": dtype}
            problems += [make_problem(**options), make_fused_problem(**options)]
    file = tmp_path / "problems.pt"
    results = []
    for machine in (here, capability):
        torch.save(problems, file)
        subprocess.run(
            [sys.executable, "-c", OTHER_MACHINE, str(file), machine],
            env=os.environ | {"ATEN_CPU_CAPABILITY": machine.lower()},
            check=True,
        )
        results.append(torch.load(file, weights_only=True))
    for expected, actual in zip(*results, strict=True):
        for a, e in zip(actual, expected, strict=True):
            atol = 2 * TOLERANCES[e.dtype] * float(e.abs().max())
            assert_close(a, e, rtol=0, atol=atol)


public = pytest.param(ms_deform_attn_fused, id="ms_deform_attn_fused")
compiled = pytest.param(
    torch.ops.medmask.ms_deform_attn_fused,
    id="compiled",
    marks=pytest.mark.skipif("cpu" not in available_implementations(), reason="it is not built"),
)


@pytest.mark.parametrize("function", [public, compiled])
@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("reference_points", lambda x: x[..., :1], "must be (N, Q, L, 2)"),
        ("reference_points", lambda x: x[0], "must be (N, Q, L, 2) or (N, Q, L, 4), but its shape"),
        ("reference_points", lambda x: x[:, :3], "must "),
        ("sampling_offsets", lambda x: x[..., 0], "must be (N, Q, M, L, P, 2), but its shape is"),
        ("sampling_offsets", lambda x: x[..., :1], "must "),
        ("sampling_offsets", lambda x: x.bfloat16(), "must be "),
        ("attention_logits", lambda x: x[:, :1], "must "),
        ("attention_logits", lambda x: x.double(), "must be "),
        ("value", lambda x: x.flatten(2), "must be (N, S, M, D), but its shape is "),
    ],
)
def test_arguments_that_do_not_fit_are_named(make_fused_problem, function, name, change, sentence):
    names = ("value", "", "", "reference_points", "sampling_offsets", "attention_logits")
    inputs = list(make_fused_problem())
    position = names.index(name)
    inputs[position] = change(inputs[position])
    with pytest.raises(ValueError, match="^" + re.escape(f"{name} {sentence}")) as caught:
        function(*inputs)
    assert "\n" not in str(caught.value)


def test_wrong_devices(make_fused_problem):
    for position, name in enumerate(("reference_points", "sampling_offsets", "attention_logits")):
        inputs = list(make_fused_problem())
        inputs[3 + position] = inputs[3 + position].to("meta")
        with pytest.raises(ValueError, match=f"^{name} must be on value's device, cpu, but is on"):
            ms_deform_attn_fused(*inputs)
