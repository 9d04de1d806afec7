"""The operator within PyTorch: opcheck, autograd, compile, export, autocast, and the fallback."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from medmask.layers import (
    MultiScaleDeformableAttention,
    available_implementations,
    ms_deform_attn,
    ms_deform_attn_fused,
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)

SIZES = [(5, 4), (2, 3)]


def test_the_compiled_implementation_is_used():
    if "cpu" not in available_implementations():
        pytest.skip("the extension is not built: every test ran on the plain implementation")
    assert torch._C._dispatch_has_kernel_for_dispatch_key("medmask::ms_deform_attn_backward", "CPU")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(make_problem, dtype):
    inputs = make_problem(SIZES, dtype=dtype)
    grad_output = torch.randn(2, 6, 16, dtype=dtype)
    torch.library.opcheck(torch.ops.medmask.ms_deform_attn_backward, (grad_output, *inputs))
    for i in (0, 3, 4):
        inputs[i].requires_grad_()
    torch.library.opcheck(torch.ops.medmask.ms_deform_attn, inputs)


def test_differentiating_twice_is_refused(make_problem):
    value, *others = make_problem()
    value.requires_grad_()
    output = ms_deform_attn(value, *others).square().sum()
    (gradient,) = torch.autograd.grad(output, value, create_graph=True)
    with pytest.raises(NotImplementedError, match="differentiated once, not twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("operator", [ms_deform_attn, ms_deform_attn_fused])
def test_differentiating_forwards_is_refused(make_problem, make_fused_problem, operator):
    """PyTorch itself would say that the output does not depend on the input."""
    value, *others = make_problem() if operator is ms_deform_attn else make_fused_problem()
    with pytest.raises(NotImplementedError, match="no derivative in forward mode, which value"):
        torch.func.jvp(lambda x: operator(x, *others), (value,), (value,))
    offsets = others.pop(-2)
    with pytest.raises(NotImplementedError, match="no derivative in forward mode, which sampling_"):
        torch.func.jvp(
            lambda x: operator(value, *others[:-1], x, others[-1]), (offsets,), (offsets,)
        )


@pytest.mark.parametrize("operator", [ms_deform_attn, ms_deform_attn_fused])
def test_gradients_by_torch_func_are_refused(make_problem, make_fused_problem, operator):
    value, *others = make_problem() if operator is ms_deform_attn else make_fused_problem()

    def loss(x):
        return operator(x, *others).sum()

    message = rf"torch\.func.*medmask\.layers\.{operator.__name__}_pytorch"
    with pytest.raises(NotImplementedError, match=message):
        torch.func.grad(loss)(value)
    with pytest.raises(NotImplementedError, match=message):
        torch.func.grad(lambda x: torch.func.vmap(loss)(x).sum())(torch.stack([value, value]))


def test_plain_implementation_gives_gradients_of_each_sample():
    """As the refusal of the compiled one advises."""
    model = Attend()
    query, reference, memory = layer_inputs(num_queries=3)
    expected = [
        torch.autograd.grad(model(query[i : i + 1], reference[:1], memory[:1]).sum(), weight)[0]
        for weight in [model.layer.sampling_offsets.weight]
        for i in range(2)
    ]
    model.layer.sample = ms_deform_attn_fused_pytorch
    parameters = dict(model.named_parameters())

    def loss(values, query):
        inputs = (query[None], reference[:1], memory[:1])
        return torch.func.functional_call(model, values, inputs).sum()

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, query)
    assert_close(gradients["layer.sampling_offsets.weight"], torch.stack(expected))


class Attend(nn.Module):
    """The layer with its levels, and something around it for a compiler to fuse."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = MultiScaleDeformableAttention(16, 2, len(SIZES), 3)
        nn.init.normal_(self.layer.sampling_offsets.weight, std=0.1)
        areas = torch.tensor(SIZES).prod(1)
        self.register_buffer("shapes", torch.tensor(SIZES))
        self.register_buffer("starts", areas.cumsum(0) - areas)

    def forward(self, query, reference, memory):
        return self.layer(query + 1, reference, memory, self.shapes, self.starts).relu()


def layer_inputs(num_queries):
    tokens = sum(h * w for h, w in SIZES)
    reference = torch.rand(2, num_queries, len(SIZES), 2)
    return torch.randn(2, num_queries, 16), reference, torch.randn(2, tokens, 16)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compile(backend):
    model, inputs = Attend(), layer_inputs(7)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    results = []
    for function in (model, compiled):
        output = function(*inputs)
        gradients = torch.autograd.grad(output.square().sum(), list(model.parameters()))
        results.append((output, *gradients))
    assert_close(results[1], results[0])


def test_export():
    model = Attend()
    queries = torch.export.Dim("queries", min=2, max=100)
    shapes = ({1: queries}, {1: queries}, None)
    program = torch.export.export(model, layer_inputs(7), dynamic_shapes=shapes)
    assert "medmask.ms_deform_attn" in program.graph_module.code
    for num_queries in (7, 12):
        inputs = layer_inputs(num_queries)
        assert_close(program.module()(*inputs), model(*inputs))


def test_autocast(implementation, make_problem):
    """A value in bfloat16 with locations in float32 stays as it is, with every gradient."""
    inputs = make_problem(dtype=torch.bfloat16)
    expected = implementation.gradients(inputs)
    with torch.autocast(implementation.device, dtype=torch.bfloat16):
        actual = implementation.gradients(inputs)
    assert actual[0].dtype == torch.bfloat16
    assert actual[2].dtype == torch.float32
    assert_close(actual, expected)


def test_locations_and_weights_of_half_precision_are_widened(make_problem):
    value, shapes, starts, *others = make_problem(dtype=torch.bfloat16)
    others = [x.bfloat16().requires_grad_() for x in others]
    output = ms_deform_attn(value, shapes, starts, *others)
    wide = (x.detach().float() for x in others)
    assert torch.equal(output, ms_deform_attn(value, shapes, starts, *wide))
    assert all(x.dtype == torch.bfloat16 for x in torch.autograd.grad(output.sum(), others))


WITHOUT_EXTENSION = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
sys.modules["medmask.layers._C"] = None  # to Python, a module that is not there
import torch
from medmask.layers import available_implementations, ms_deform_attn
assert available_implementations() == ("pytorch",)
inputs = torch.load(sys.argv[1], weights_only=True)
inputs[0].requires_grad_()
for _ in range(2):
    output = ms_deform_attn(*inputs)
    output.sum().backward()
torch.save((output.detach(), inputs[0].grad / 2), sys.argv[1])
"""


def test_without_the_extension_it_runs_and_says_once_how_to_build_it(make_problem, tmp_path):
    inputs = make_problem()
    torch.save(inputs, tmp_path / "problem.pt")
    command = [sys.executable, "-c", WITHOUT_EXTENSION, str(tmp_path / "problem.pt")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("WARNING") == 1
    assert "is not used, because it is not built" in result.stderr
    assert "`pip install --no-build-isolation .`" in result.stderr
    inputs[0].requires_grad_()
    output = ms_deform_attn_pytorch(*inputs)
    expected = (output.detach(), *torch.autograd.grad(output.sum(), inputs[0]))
    assert_close(torch.load(tmp_path / "problem.pt", weights_only=True), expected)


WITH_EXTENSION_OF_OTHER_SOURCES = """
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
import torch
define = torch.library.define

def define_with_one_more(name, schema, **options):
    schema = schema.replace("Tensor attention_logits", "Tensor attention_logits, int more")
    define(name, schema, **options)

torch.library.define = define_with_one_more
from medmask.layers import available_implementations, ms_deform_attn
assert available_implementations() == ("pytorch",)
level, start, center = torch.tensor([[1, 1]]), torch.tensor([0]), torch.full((1,) * 5 + (2,), 0.5)
output = ms_deform_attn(torch.ones((1,) * 4), level, start, center, torch.ones((1,) * 5))
assert output.item() == 1
"""


def test_extension_of_other_sources_is_not_used_and_said():
    """Its operators have other arguments; an exception on loading it would end the process."""
    if "cpu" not in available_implementations():
        pytest.skip("the extension is not built")
    command = [sys.executable, "-c", WITH_EXTENSION_OF_OTHER_SOURCES]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (warning,) = (line for line in result.stderr.splitlines() if "WARNING" in line)
    assert "does not load (it was built from other sources: " in warning
    assert "`pip install --no-build-isolation .`" in warning
