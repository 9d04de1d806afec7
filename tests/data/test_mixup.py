import numpy as np
import pytest
import torch

from medmask.data import Mixup
from medmask.data.mixup import mix_samples
from medmask.data.sample_stream import SampleStream
from medmask.errors import InputError


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["bytes", "floats"])
def test_pixels_are_weighted_sums_on_the_larger_canvas(make_input, dtype):
    a, b = make_input(6, 4, [[0.5, 1, 3, 5]]), make_input(3, 9, [[4, 0, 8.5, 2]])
    a["image"], b["image"] = a["image"].to(dtype), b["image"].to(dtype)
    mixed = mix_samples(a, b, 0.3)
    assert mixed["image"].shape == (3, 6, 9)
    assert mixed["image"].dtype == dtype
    assert mixed["original_corners"] is mixed["to_original"] is None
    for c, y, x in np.ndindex(3, 6, 9):
        first = float(a["image"][c, y, x]) if x < 4 else 0.0
        second = float(b["image"][c, y, x]) if y < 3 else 0.0
        error = 0.5 if dtype == torch.uint8 else 1e-3
        assert abs(mixed["image"][c, y, x] - (0.7 * first + 0.3 * second)) <= error + 1e-4
    instances = mixed["instances"]
    assert instances.image_size == (6, 9)
    assert instances.gt_boxes.tensor.tolist() == [[0.5, 1, 3, 5], [4, 0, 8.5, 2]]
    assert instances.gt_classes.tolist() == [0, 0]
    assert a["instances"].image_size == (6, 4)  # the samples are left as they are


def test_both_views_of_a_pair_are_mixed_alike(make_input):
    a, b = ({**x, "strong_image": 255 - x["image"]} for x in (make_input(4, 4), make_input(4, 4)))
    mixed = mix_samples(a, b, 0.5)
    sums = mixed["image"].int() + mixed["strong_image"].int()
    assert ((sums - 255).abs() <= 1).all()
    assert len(mixed["instances"]) == 0


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_stream_mixes_as_often_as_asked_and_repeats_itself(make_input, probability):
    inputs = [make_input(4, 4, [[0, 0, 2, 2]]) for _ in range(3)]

    def stream():
        mix = Mixup(probability=probability)
        return SampleStream(inputs, lambda sample: dict(sample), 1, mix=mix)

    samples = [stream()[i] for i in range(60)]
    counts = [len(sample["instances"]) for sample in samples]
    assert set(counts) == {0.0: {1}, 0.5: {1, 2}, 1.0: {2}}[probability]
    assert abs(counts.count(2) / 60 - probability) < 0.25
    for i in (0, 17):
        assert torch.equal(stream()[i]["image"], samples[i]["image"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probability": 1.5}, "probability is 1.5"),
        ({"share_range": [0.0, 0.5]}, r"share_range is \(0.0, 0.5\)"),
        ({"share_range": [0.4, 0.6]}, r"share_range is \(0.4, 0.6\)"),
        ({"share_range": [0.5]}, r"share_range is \(0.5,\)"),
    ],
)
def test_senseless_numbers_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Mixup(**options)
