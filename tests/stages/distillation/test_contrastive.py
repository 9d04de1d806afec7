"""The losses against their definitions. Run by itself, this file is one of two processes."""

import math
from argparse import Namespace

import pytest
import torch
from torch import distributed
from torch.testing import assert_close

from medmask.engine import launch
from medmask.errors import InputError
from medmask.stages.distillation import (
    CosineLoss,
    EmbeddingQueue,
    ExpertContrast,
    InfoNCE,
    MarginLoss,
    TripletLoss,
    unit_vectors,
)
from medmask.utils.distributed import mean_over_processes

LOSSES = [InfoNCE(0.2), MarginLoss(0.1), TripletLoss(0.3), CosineLoss()]
DIM = 6


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def info_nce(s, negatives):
    others = sum(math.exp(n / 0.2) for n in negatives)
    return -math.log(math.exp(s / 0.2) / (math.exp(s / 0.2) + others))


def margin(s, negatives):
    excess = [max(0.0, n - 0.1) for n in negatives]
    return 1 - s + (sum(excess) / len(excess) if excess else 0.0)


def triplet(s, negatives):
    if not negatives:
        return 0.0
    easier = [n for n in negatives if n < s]
    return max(0.0, 0.3 + (max(easier) if easier else min(negatives)) - s)


DEFINITIONS = [info_nce, margin, triplet, lambda s, negatives: 1 - s]
CASES = list(zip(LOSSES, DEFINITIONS, strict=True))


def mean_loss(definition, student, expert, keys, past, past_keys):
    """The mean by a double loop; embeddings and keys are lists."""
    total = 0.0
    for z, e, key in zip(student, expert, keys, strict=True):
        others = [(x, k) for x, k in zip(expert + past, keys + past_keys, strict=True) if k != key]
        total += definition(cosine(z, e), [cosine(z, x) for x, _ in others])
    return total / len(student)


def embeddings(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, DIM, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("loss", "definition"), CASES)
@pytest.mark.parametrize("queue_size", [0, 7])
def test_losses_are_what_they_are_defined_to_be(loss, definition, queue_size):
    contrast = ExpertContrast(loss, queue_size, DIM).double()
    past, past_keys = [], []
    for step, count in enumerate([2, 3, 4, 1, 4]):  # the queue is empty, fills, wraps around
        student, expert = embeddings(count, step), embeddings(count, step + 100)
        keys = [step, 40 + step, 2, 3][:count]  # some come again: in step 2 within the batch, too
        actual = contrast(student, expert, torch.tensor(keys))
        expected = mean_loss(
            definition, student.tolist(), expert.tolist(), keys, past[:], past_keys[:]
        )
        assert actual.item() == pytest.approx(expected, rel=1e-9)
        past = (past + expert.tolist())[-queue_size:] if queue_size else []
        past_keys = (past_keys + keys)[-queue_size:] if queue_size else []


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss):
    contrast = ExpertContrast(loss, 0, DIM)
    keys = torch.tensor([1, 2, 3, 2])
    student = embeddings(4, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: contrast(z, embeddings(4, 1), keys), student)


@pytest.mark.parametrize("loss", LOSSES)
def test_object_without_negatives_has_a_finite_gradient(loss):
    student = embeddings(1, 0).requires_grad_()
    value = ExpertContrast(loss, 5, DIM)(student, embeddings(1, 1), torch.tensor([1]))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()
    if isinstance(loss, InfoNCE | TripletLoss):
        assert value == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_no_object_is_zero_and_in_the_graph(loss):
    for queue_size in (0, 3):
        layer = torch.nn.Linear(2, DIM)
        contrast = ExpertContrast(loss, queue_size, DIM)
        keys = torch.empty(0, dtype=torch.int64)
        value = contrast(layer(torch.empty(0, 2)), torch.empty(0, DIM), keys)
        value.backward()
        assert value == 0
        assert all((p.grad == 0).all() for p in layer.parameters())


def test_own_key_in_the_queue_is_no_negative():
    contrast = ExpertContrast(InfoNCE(), 10, DIM)
    expert = embeddings(1, 0).float()
    for _ in range(3):  # the same object again and again: nothing to tell it from
        assert contrast(embeddings(1, 1), expert, torch.tensor([7])) == 0
    assert contrast.queue.count == 3
    assert contrast(embeddings(1, 1), expert, torch.tensor([8])) > 0


def test_negatives_in_the_queue_survive_until_the_backward_pass():
    contrast = ExpertContrast(InfoNCE(), 2, DIM)
    student = embeddings(4, 0).requires_grad_()
    losses = [
        contrast(student[i : i + 2], embeddings(2, i), torch.tensor([i, i + 1])) for i in (0, 2)
    ]
    contrast.queue.clear()
    sum(losses).backward()  # raises if what it needs was changed in place
    assert (student.grad.norm(dim=1) > 0).all()


def test_queue_replaces_the_oldest():
    queue = EmbeddingQueue(5, 1)
    assert not queue.is_filled.any()
    held = []
    for first, count in [(0, 2), (2, 0), (2, 2), (4, 3), (7, 13), (20, 4)]:
        values = torch.arange(first, first + count)
        queue.enqueue(values[:, None].float(), values)
        held = (held + values.tolist())[-5:]
        assert sorted(queue.keys[queue.is_filled].tolist()) == held
        assert queue.embeddings[queue.is_filled][:, 0].long().equal(queue.keys[queue.is_filled])
    queue.clear()
    assert not queue.is_filled.any()


def test_queue_is_in_the_checkpoint():
    first, second = (ExpertContrast(InfoNCE(), 8, DIM) for _ in range(2))
    first(embeddings(5, 0), embeddings(5, 1), torch.arange(5))
    second.load_state_dict(first.state_dict())
    arguments = embeddings(5, 2), embeddings(5, 3), torch.arange(3, 8)
    assert first(*arguments) == second(*arguments)
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name])


def test_a_loss_without_negatives_has_no_queue():
    assert not list(ExpertContrast(CosineLoss(), 8, DIM).buffers())


def test_half_precision_is_left_before_anything_is_computed():
    student, expert = embeddings(4, 0).bfloat16(), embeddings(4, 1)
    contrast = ExpertContrast(InfoNCE(), 0, DIM)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = contrast(student, expert, torch.arange(4))
    assert actual.dtype == torch.float32
    assert_close(actual, contrast(student.float(), expert, torch.arange(4)), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InfoNCE(0), "temperature of InfoNCE is 0"),
        (lambda: MarginLoss(1.5), "margin of MarginLoss is 1.5"),
        (lambda: TripletLoss(-0.1), "margin of TripletLoss is -0.1"),
        (lambda: ExpertContrast(InfoNCE(), -1, DIM), "queue_size is -1"),
    ],
)
def test_settings_out_of_range(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_two_processes_are_as_one(run_in_two_processes):
    run_in_two_processes(__file__)


def compare(rank, loss, definition):
    """Steps with another number of objects in each process, against the joint batch by hand."""
    contrast = ExpertContrast(loss, 7, DIM).double()
    past, past_keys = [], []
    for step, (first, second) in enumerate([(3, 1), (0, 2), (0, 0), (2, 0), (4, 1)]):
        count = first + second
        student, expert = embeddings(count, step), embeddings(count, step + 100)
        keys = [(step + i) % 7 for i in range(count)]
        own = slice(0, first) if rank == 0 else slice(first, count)
        own_keys = torch.tensor(keys, dtype=torch.int64)[own]
        share = contrast(student[own], expert[own], own_keys)
        distributed.all_reduce(share.detach_())
        expected = 0.0
        if count:
            z, e = student.tolist(), expert.tolist()
            expected = mean_loss(definition, z, e, keys, past[:], past_keys[:])
        assert share.item() / 2 == pytest.approx(expected, rel=1e-9, abs=1e-12)
        past, past_keys = (past + expert.tolist())[-7:], (past_keys + keys)[-7:]
        if contrast.queue is not None:
            for buffer in contrast.queue.buffers():
                both = [torch.empty_like(buffer) for _ in range(2)]
                distributed.all_gather(both, buffer)
                assert both[0].equal(both[1])


def compare_gradients(rank):
    """Averaged over processes, the gradient is that of the mean over the joint batch."""
    student, expert, keys = embeddings(5, 0).requires_grad_(), embeddings(5, 1), torch.arange(5)
    own = slice(0, 4) if rank == 0 else slice(4, 5)
    ExpertContrast(InfoNCE(), 0, DIM)(student[own], expert[own], keys[own]).backward()
    average = student.grad / 2
    distributed.all_reduce(average)
    student.grad = None
    similarity = unit_vectors(student) @ unit_vectors(expert).T
    torch.nn.functional.cross_entropy(similarity / 0.1, keys).backward()
    assert_close(average, student.grad, rtol=1e-9, atol=1e-12)


def compare_all(args):
    own_rank = distributed.get_rank()
    for each_loss, each_definition in CASES:
        compare(own_rank, each_loss, each_definition)
    compare_gradients(own_rank)
    share_of_mean = mean_over_processes(torch.full((2 * own_rank,), 3.0))  # none, and two
    assert share_of_mean.item() == 6.0 * own_rank


if __name__ == "__main__":
    launch(compare_all, Namespace())
