"""What the tests of the deformable-attention operator share: problems and implementations."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from medmask.layers import (
    ms_deform_attn,
    ms_deform_attn_fused,
    ms_deform_attn_fused_pytorch,
    ms_deform_attn_pytorch,
)
from medmask.layers.deformable_attention.pytorch import (
    ms_deform_attn_fused_pytorch_backward,
    ms_deform_attn_pytorch_backward,
)

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
FusedInputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@pytest.fixture
def make_problem() -> Callable[..., Inputs]:
    """Builds random arguments of the operator.

    One location in three lies outside its map or on its rim. None is near the line between two
    pixels, where the gradient jumps: there the rounding of float32 would choose the side.
    """

    def make(
        sizes: Sequence[tuple[int, int]] = ((5, 4), (2, 3)),
        N: int = 2,
        Q: int = 6,
        M: int = 2,
        D: int = 8,
        P: int = 3,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> Inputs:
        shapes = torch.tensor(sizes)
        areas = shapes.prod(1)
        value = torch.randn(N, int(areas.sum()), M, D, dtype=torch.float64)
        locations = torch.empty(N, Q, M, len(sizes), P, 2, dtype=torch.float64)
        for level, size in enumerate(sizes):
            for axis, length in enumerate(reversed(size)):
                place = (N, Q, M, P)
                pixels = torch.randint(-2, length + 1, place) + 0.1 + 0.8 * torch.rand(place)
                locations[..., level, :, axis] = (pixels + 0.5) / length
        weights = torch.randn(N, Q, M, len(sizes), P, dtype=torch.float64)
        sums = torch.float64 if dtype == torch.float64 else torch.float32
        inputs = (value.to(dtype), shapes, areas.cumsum(0) - areas)
        inputs += (locations.to(sums), weights.to(sums))
        return tuple(tensor.to(device) for tensor in inputs)

    return make


@pytest.fixture
def make_fused_problem(make_problem) -> Callable[..., FusedInputs]:
    """Builds random arguments of the fused operator: offsets that lead where make_problem looks.

    Its references are boxes if ``boxes``, else points; the other options are make_problem's.
    """

    def make(boxes: bool = False, **options: object) -> FusedInputs:
        value, shapes, starts, locations, _ = make_problem(**options)
        N, Q, M, L, P, _ = locations.shape
        sums = locations.dtype
        references = torch.rand(N, Q, L, 4 if boxes else 2, dtype=sums).to(locations.device)
        offsets = locations - references[:, :, None, :, None, :2]
        if boxes:
            references[..., 2:] += 0.5
            offsets = offsets / references[:, :, None, :, None, 2:] * 2 * P
        else:
            offsets = offsets * shapes.flip(1)[:, None]
        logits = 2 * torch.randn(N, Q, M, L, P, dtype=sums).to(locations.device)
        return value, shapes, starts, references, offsets.to(value.dtype), logits.to(value.dtype)

    return make


def with_backward(
    forward: Callable[..., Tensor], backward: Callable[..., tuple[Tensor, ...]]
) -> Callable[..., Tensor]:
    """The operator as the dispatcher runs it where nothing is compiled."""

    class WithBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs: Tensor) -> Tensor:
            ctx.save_for_backward(*inputs)
            return forward(*inputs)

        @staticmethod
        def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, ...]:
            value, *samples = backward(grad_output, *ctx.saved_tensors)
            return value, None, None, *samples

    return WithBackward.apply


class Implementation:
    """An operator, run on one device."""

    def __init__(self, function: Callable[..., Tensor], device: str) -> None:
        self.function, self.device = function, device

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self.function(*(tensor.to(self.device) for tensor in inputs))

    def gradients(
        self, inputs: Sequence[Tensor], grad_output: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """The output, and the gradients of all floating-point inputs; of its sum by default."""
        value, shapes, starts, *samples = (tensor.to(self.device) for tensor in inputs)
        leaves = [tensor.detach().requires_grad_() for tensor in (value, *samples)]
        output = self.function(leaves[0], shapes, starts, *leaves[1:])
        if grad_output is None:
            grad_output = torch.ones_like(output)
        return output.detach(), *torch.autograd.grad(output, leaves, grad_output.to(self.device))


no_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
IMPLEMENTATIONS = [
    "plain autograd",
    "plain backward",
    "dispatcher cpu",
    pytest.param("dispatcher cuda", marks=[pytest.mark.cuda, no_device]),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request) -> Implementation:
    """Each implementation; "dispatcher" is the compiled one, where it was built."""
    functions = {
        "plain autograd": ms_deform_attn_pytorch,
        "plain backward": with_backward(ms_deform_attn_pytorch, ms_deform_attn_pytorch_backward),
    }
    device = "cuda" if request.param.endswith("cuda") else "cpu"
    return Implementation(functions.get(request.param, ms_deform_attn), device)


@pytest.fixture(params=IMPLEMENTATIONS)
def fused_implementation(request) -> Implementation:
    """Each implementation of the fused operator."""
    functions = {
        "plain autograd": ms_deform_attn_fused_pytorch,
        "plain backward": with_backward(
            ms_deform_attn_fused_pytorch,
            partial(ms_deform_attn_fused_pytorch_backward, reference_points_need_grad=True),
        ),
    }
    device = "cuda" if request.param.endswith("cuda") else "cpu"
    return Implementation(functions.get(request.param, ms_deform_attn_fused), device)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Lets a test choose the number of threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def only_deterministic() -> Iterator[None]:
    """Refuses, or replaces, operators whose results vary from run to run."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
