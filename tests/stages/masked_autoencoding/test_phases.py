import pytest

from medmask.errors import InputError
from medmask.stages.masked_autoencoding.phases import Phases


def phases(max_iter, duration=None, warmup=None, picture_period=None):
    return Phases.of_run(
        max_iter, duration=duration, warmup=warmup, picture_period=picture_period, key="mae"
    )


@pytest.mark.parametrize(
    ("options", "active", "warmup", "pictures"),
    [
        ({}, 10, 0, []),
        ({"duration": 4, "warmup": 0.2}, 4, 2, []),
        ({"duration": 0.5, "picture_period": 2}, 5, 0, [1, 3, 4]),
        ({"picture_period": 0.4}, 10, 0, [3, 7, 9]),
        ({"duration": 4, "picture_period": 0}, 4, 0, [3]),
    ],
)
def test_each_iteration_is_in_its_phase(options, active, warmup, pictures):
    of_run = phases(10, **options)
    iterations = range(10)
    assert [i for i in iterations if of_run.is_active(i)] == list(range(active))
    assert [i for i in iterations if of_run.is_warmup(i)] == list(range(warmup))
    drawn = [i for i in iterations if of_run.is_active(i) and of_run.has_picture(i)]
    assert drawn == pictures


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration": 3}, "duration is 3 iterations, but the run has 3"),
        ({"duration": 0}, "duration is 0, but"),
        ({"duration": 1.0}, "duration is 1.0, but"),
        ({"warmup": 3}, "warmup is 3 iterations, but the run has 3"),
        ({"warmup": 2, "duration": 1}, "warmup is 2 iterations, but masked autoencoding ends"),
        ({"picture_period": 4}, "picture_period is 4 iterations, but the run has 3"),
        ({"picture_period": -1}, "picture_period is -1, but"),
    ],
)
def test_what_would_never_happen_is_refused(options, words):
    with pytest.raises(InputError, match=rf"^mae\.{words}"):
        phases(3, **options)
