"""Averages of weights: by their definition, what is refused, and the command."""

import numpy as np
import pytest
import torch

from medmask.checkpoint import average_weights, find_state_dict, load_tensor_file, weight_distance
from medmask.commands.average_weights import make_parser, run
from medmask.errors import InputError

MANY = "layer.num_batches_tracked"


def weights(seed, **changes):
    random = np.random.default_rng(seed)
    return {
        "layer.weight": torch.tensor(random.normal(size=(4, 3)), dtype=torch.float32),
        "layer.bias": torch.tensor(random.normal(size=4), dtype=torch.float32),
        MANY: torch.tensor(10 + seed),
        "training_modules.decoder.weight": torch.zeros(2, 2),
        **changes,
    }


@pytest.mark.parametrize(
    ("shares", "fractions"), [(None, (0.5, 0.5)), ((1.0, 3.0), (0.25, 0.75)), ((0.2, 0.8), None)]
)
def test_each_weight_is_the_mean_by_the_shares(shares, fractions):
    first, second = weights(0), weights(1)
    average = average_weights({"a": first, "b": second}, shares)
    for name in ("layer.weight", "layer.bias"):
        expected = sum(
            share * tensor[name].numpy().astype(np.float64)
            for share, tensor in zip(fractions or shares, (first, second), strict=True)
        )
        assert average[name].dtype == torch.float32
        np.testing.assert_allclose(average[name].numpy(), expected, rtol=1e-6)
    assert average[MANY] == 11  # a counter
    assert "training_modules.decoder.weight" not in average


def test_counters_of_one_model_alone_stay():
    frozen = weights(1)
    del frozen[MANY]
    for models in ({"a": weights(0), "b": frozen}, {"b": frozen, "a": weights(0)}):
        assert average_weights(models)[MANY] == 10


def test_three_models_and_half_precision():
    models = {str(i): {"x": torch.full((2,), float(i), dtype=torch.float16)} for i in range(3)}
    average = average_weights(models)
    assert average["x"].dtype == torch.float16
    assert average["x"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"layer.weight": torch.zeros(4, 2)}, "b, beside a, .*layer.weight"),
        ({"layer.bias": torch.tensor([1, 2, 3, float("nan")])}, "b, beside a, .*layer.bias"),
        ({"head": torch.zeros(1)}, "b, beside a, .*head"),
    ],
)
def test_weights_that_do_not_go_together_are_refused(other, words):
    with pytest.raises(InputError, match=words):
        average_weights({"a": weights(0), "b": weights(1, **other)})


def test_a_missing_weight_and_a_first_model_that_is_not_finite_are_refused():
    lacking = weights(1)
    del lacking["layer.bias"]
    with pytest.raises(InputError, match=r"b, beside a, .*missing \(layer.bias\)"):
        average_weights({"a": weights(0), "b": lacking})
    with pytest.raises(InputError, match=r"^a .*layer.bias"):
        average_weights({"a": weights(0, **{"layer.bias": torch.full((4,), np.inf)}), "b": lacking})


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ((1.0,), "1 shares are given for 2 models"),
        ((1.0, 0.0), "share 0 is not above 0"),
        ((1.0, float("nan")), "share nan is not above 0"),
    ],
)
def test_senseless_shares_are_refused(shares, words):
    with pytest.raises(InputError, match=words):
        average_weights({"a": weights(0), "b": weights(1)}, shares)
    with pytest.raises(InputError, match="two models or more"):
        average_weights({"a": weights(0)})


def test_distance_tells_models_of_one_start_from_others():
    first = {f"{i}.weight": torch.randn(30, 30) for i in range(5)}
    near = {name: x + 0.1 * torch.randn_like(x) for name, x in first.items()}
    other = {name: torch.randn_like(x) for name, x in first.items()}
    assert weight_distance(first, first) == 0
    assert weight_distance(first, near) == pytest.approx(0.1, rel=0.1)
    assert weight_distance(first, other) == pytest.approx(2**0.5, rel=0.1)
    pretrained = {f"backbone.{i}.weight": torch.ones(9, 9) for i in range(20)}
    assert weight_distance(first | pretrained, other | pretrained) == pytest.approx(1.4, rel=0.1)
    assert np.isnan(weight_distance({"bias": torch.ones(3)}, {"bias": torch.ones(3)}))


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path):
        paths = [tmp_path / "start.pth", tmp_path / "stage.pth"]
        start = weights(0)
        stage = {name: x + 0.01 * x for name, x in start.items() if x.is_floating_point()}
        for path, content in zip(paths, (start, start | stage), strict=True):
            torch.save({"model": content}, path)
        return list(map(str, paths))

    def average(self, *arguments):
        run(make_parser().parse_args(list(map(str, arguments))))

    def test_it_writes_weights_that_detect(self, files, tmp_path, capsys, caplog):
        output = tmp_path / "out.pth"
        self.average(*files, "--shares", 1, 3, "--output", output)
        written = find_state_dict(load_tensor_file(output), output)
        start = find_state_dict(load_tensor_file(files[0]), files[0])
        torch.testing.assert_close(written["layer.weight"], start["layer.weight"] * 1.0075)
        assert "at 0.010 of the size of the weights" in capsys.readouterr().out
        assert not caplog.records

    def test_it_warns_of_weights_of_another_start(self, files, tmp_path, caplog):
        torch.save({"model": weights(5)}, tmp_path / "other.pth")
        self.average(files[0], tmp_path / "other.pth", "--output", tmp_path / "out.pth")
        assert "hardly come from one start" in caplog.text

    def test_it_writes_over_no_input_and_takes_no_file_twice(self, files, tmp_path):
        with pytest.raises(InputError, match=r"--output and WEIGHTS .* are both"):
            self.average(*files, "--output", files[0])
        with pytest.raises(InputError, match=r"WEIGHTS names .* twice"):
            self.average(files[0], files[0], "--output", tmp_path / "out.pth")
        with pytest.raises(InputError, match=r"must end in \.pth"):
            self.average(*files, "--output", tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["stage.pth", "start.pth"]
