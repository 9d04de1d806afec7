import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.data.worker_loader import WorkerLoader, _explain_dead_worker, pack, unpack
from medmask.errors import InputError


def make_samples():
    instances = Instances((4, 5), gt_boxes=Boxes(torch.rand(2, 4)), gt_classes=torch.tensor([0, 1]))
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    return [
        {"image": image, "instances": instances, "file_name": "a.png", "random_seed": 2**62},
        {"image": torch.rand(3, 2, 2), "instances": instances[:0]},
        InputError("image b.png does not exist"),
    ]


def check_equal(actual, expected):
    for one, other in zip(actual[:2], expected[:2], strict=True):
        assert one.keys() == other.keys()
        assert one["image"].dtype == other["image"].dtype
        assert torch.equal(one["image"], other["image"])
        assert one["instances"].image_size == other["instances"].image_size
        assert torch.equal(one["instances"].gt_boxes.tensor, other["instances"].gt_boxes.tensor)
        assert torch.equal(one["instances"].gt_classes, other["instances"].gt_classes)
    assert actual[0]["file_name"] == "a.png"
    assert actual[0]["random_seed"] == 2**62
    assert isinstance(actual[2], InputError)
    assert str(actual[2]) == str(expected[2])


def test_unpacking_gives_what_was_packed():
    samples = make_samples()
    packed = pack(samples)
    assert packed.dtype == torch.uint8
    assert packed.dim() == 1
    check_equal(unpack(packed), samples)


def test_what_is_unpacked_may_be_changed():
    samples = make_samples()
    packed = pack(samples)
    unpack(packed)[0]["image"].zero_()
    check_equal(unpack(packed), samples)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), InputError),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), InputError),
        (ConnectionResetError(104, "Connection reset by peer"), InputError),
        (EOFError(), InputError),
        (FileNotFoundError("Caught FileNotFoundError in DataLoader worker"), FileNotFoundError),
        (RuntimeError("Caught RuntimeError in DataLoader worker process 0"), RuntimeError),
    ],
)
def test_dead_worker_shows_in_several_ways(error, kind):
    assert type(_explain_dead_worker(error)) is kind


class Unreadable:
    """A data set with a mapper of one's own that opens files."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise FileNotFoundError(2, "No such file or directory", "own.npy")


def test_error_of_the_operating_system_in_a_worker_is_one_sentence():
    loader = WorkerLoader(Unreadable(), num_workers=1, batch_size=1)
    with pytest.raises(InputError) as caught:
        next(iter(loader))
    assert str(caught.value) == "own.npy: no such file or directory: check the path"


def test_error_of_a_mapper_is_no_dead_worker_where_there_is_none():
    loader = WorkerLoader(Unreadable(), num_workers=0, batch_size=1)
    with pytest.raises(FileNotFoundError, match=r"own\.npy"):
        next(iter(loader))
