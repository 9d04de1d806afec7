"""How many processes read ahead where the user does not say."""

import pytest

from medmask.commands.archive_options import choose_workers


@pytest.mark.parametrize(
    ("images", "cores", "is_on_gpu", "workers"),
    [
        (49, 64, True, 0),
        (49, 64, False, 0),
        (50, 1, True, 1),
        (50, 2, True, 2),
        (50, 64, True, 4),
        (50, 2, False, 0),
        (50, 7, False, 0),
        (50, 8, False, 1),
        (50, 16, False, 2),
        (50, 64, False, 4),
    ],
)
def test_workers_follow_cores_and_device(images, cores, is_on_gpu, workers):
    assert choose_workers(range(images), cores=cores, is_on_gpu=is_on_gpu) == workers
