import pytest

from medmask.inference.prediction_progress import PredictionProgress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_line_every_thirty_seconds_with_an_estimate(clock):
    lines = []
    with PredictionProgress(100, 20, report=lines.append, clock=clock) as progress:
        for index in range(20):  # two seconds each
            clock.now += 2
            progress.count("refused" if index == 3 else "done")
    assert lines == ["35 of 100 images, 1 refused, 0.50 a second, 0:02:10 left"]


@pytest.mark.parametrize("batch", [1, 8])
def test_slow_start_is_no_part_of_the_estimate(clock, batch):
    lines = []
    with PredictionProgress(1000, 0, report=lines.append, clock=clock) as progress:
        clock.now = 260
        for _ in range(3):
            clock.now += 40
            for _ in range(batch):  # which are counted one after the other
                progress.count("done")
                clock.now += 0.001
    assert lines[0] == "1 of 1000 images"  # nothing tells yet
    for number, line in enumerate(lines[1:], 1):
        ended, rate, left = line.split(", ")
        assert ended == f"{1 + number * batch} of 1000 images"
        assert float(rate.removesuffix(" a second")) == pytest.approx(batch / 40, abs=0.006)
        hours, minutes, _ = map(int, left.removesuffix(" left").split(":"))
        expected = (999 - number * batch) * 40 / batch / 60
        assert 60 * hours + minutes == pytest.approx(expected, abs=1)
    assert number == 2


def test_images_of_one_batch_tell_no_rate(clock):
    lines = []
    with PredictionProgress(8, 0, report=lines.append, clock=clock) as progress:
        clock.now = 29.9
        for _ in range(8):
            clock.now += 0.05
            progress.count("done")
    assert lines == ["2 of 8 images"]
