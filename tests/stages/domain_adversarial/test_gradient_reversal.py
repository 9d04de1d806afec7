import torch

from medmask.stages.domain_adversarial.gradient_reversal import reverse_gradient


def test_forward_is_the_identity():
    x = torch.randn(2, 3, 4)
    assert torch.equal(reverse_gradient(x), x)


def test_gradient_is_minus_the_numerical_one():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def loss(x):
        return (x.sin() * x.flip(0)).sum()

    loss(reverse_gradient(x)).backward()
    step = 1e-6
    for index in range(x.numel()):
        offset = torch.zeros(x.numel(), dtype=torch.float64)
        offset[index] = step
        offset = offset.view_as(x)
        slope = (loss(x.detach() + offset) - loss(x.detach() - offset)) / (2 * step)
        torch.testing.assert_close(x.grad.flatten()[index], -slope, rtol=1e-6, atol=1e-8)


def test_reversing_twice_is_the_identity_in_both_directions():
    x = torch.randn(5, requires_grad=True)
    reverse_gradient(reverse_gradient(x)).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_half_precision_keeps_its_type():
    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    y = reverse_gradient(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == torch.bfloat16
    assert x.grad.tolist() == [-1, -1]
