import pytest
import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.boxes import DetectionTarget
from medmask.stages.denoising import BoxNoise


def target_of(*boxes) -> DetectionTarget:
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return DetectionTarget(torch.zeros(len(boxes), dtype=torch.int64), boxes)


TARGETS = [
    target_of([0.5, 0.5, 0.2, 0.1], [0.3, 0.6, 0.05, 0.2]),
    target_of(),
    target_of([0.5, 0.4, 0.3, 0.3]),
]


def moves(references: Tensor, boxes: Tensor) -> Tensor:
    """(G, copies, T, 4) and (T, 4) -> how far centers went, in sizes of the box."""
    return (references[..., :2] - boxes[:, :2]) / boxes[:, 2:]


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    return BoxNoise(num_groups=50, shift=0.25, log_scale=0.4)(TARGETS)


def test_near_copies_keep_their_center_inside_and_far_ones_do_not(drawn):
    copies = drawn.references[0].view(50, 2, 2, 4)
    near, far = moves(copies[:, :1], TARGETS[0].boxes), moves(copies[:, 1:], TARGETS[0].boxes)
    assert near.abs().max() <= 0.25 + 1e-6
    assert near.abs().max() > 0.24
    outermost = far.abs().amax(dim=-1)
    assert outermost.min() >= 0.5 - 1e-6
    assert outermost.max() <= 1 + 1e-6
    assert (far[..., 0].abs() > far[..., 1].abs()).float().mean() == pytest.approx(0.5, abs=0.2)


def test_sides_change_by_factors(drawn):
    copies = drawn.references[0].view(50, 2, 2, 4)
    factors = (copies[..., 2:] / TARGETS[0].boxes[:, 2:]).log()
    assert factors.abs().max() <= 0.4 + 1e-5
    assert factors.min() < -0.35
    assert factors.max() > 0.35


def test_matches_are_the_near_copies_of_what_exists(drawn):
    assert drawn.exists.view(3, 100, 2).sum(1).tolist() == [[100, 100], [0, 0], [100, 0]]
    pairs = set(zip(*(x.tolist() for x in drawn.matches), strict=True))
    expected = {(0, 4 * g + t, t) for g in range(50) for t in range(2)}
    assert pairs == expected | {(2, 4 * g, 0) for g in range(50)}
    assert all(drawn.exists[i, q] for i, q, _ in pairs)


def test_groups_do_not_see_each_other(drawn):
    group = torch.arange(200) // 4
    others = group[:, None] != group[None]
    assert torch.equal(drawn.attention_mask[0], others)
    assert torch.equal(drawn.attention_mask[1], others)  # of no object: a softmax needs a query
    assert torch.equal(drawn.attention_mask[2], others | ~drawn.exists[2])


def test_boxes_stay_in_the_image():
    noise = BoxNoise(num_groups=100, shift=0.4, log_scale=2.0)
    references = noise([target_of([0.01, 0.99, 0.6, 0.002])]).references
    assert references.min() > -1e-6
    assert references.max() < 1 + 1e-6
    assert references[..., 2:].min() > 0


def test_a_batch_without_objects_has_queries_that_do_not_count():
    drawn = BoxNoise(num_groups=3)([target_of(), target_of()])
    assert drawn.references.shape == (2, 6, 4)
    assert not drawn.exists.any()
    assert [len(x) for x in drawn.matches] == [0, 0, 0]


def test_far_copies_can_be_left_out():
    drawn = BoxNoise(num_groups=3, far=False)(TARGETS)
    assert drawn.references.shape == (3, 6, 4)
    assert len(drawn.matches.image) == drawn.exists.sum() == 9


def test_no_noise_gives_the_boxes_themselves():
    drawn = BoxNoise(num_groups=1, shift=0.0, log_scale=0.0, far=False)(TARGETS)
    assert torch.equal(drawn.references[0], TARGETS[0].boxes)


@pytest.mark.parametrize(
    ("option", "value"), [("num_groups", 0), ("shift", 0.5), ("shift", -0.1), ("log_scale", -1.0)]
)
def test_noise_out_of_range_is_refused(option, value):
    with pytest.raises(InputError, match=f"^{option} of BoxNoise is {value}, but must be"):
        BoxNoise(**{option: value})
