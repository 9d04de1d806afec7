import json

import numpy as np
import pytest
import torch

from medmask.engine.evaluation_results import to_numbers
from medmask.errors import InputError


def test_numbers_of_numpy_and_pytorch_become_plain_ones():
    given = {"own": {"a": np.float32(0.5), "b": torch.tensor(2), "c": np.ones(1)}, "d": 3}
    expected = {"own": {"a": 0.5, "b": 2, "c": 1.0}, "d": 3}
    numbers = to_numbers(given)
    assert numbers == expected
    assert json.loads(json.dumps(numbers)) == expected


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"own": {"a": "many"}}, "gives own/a as a str, but results are numbers"),
        ({"own": {"a": None}}, "own/a as a NoneType"),
        ({"own": {"a": np.zeros(3)}}, "own/a as a ndarray"),
        ({"own": {"a": [1, 2]}}, "own/a as a list"),
        ({"own": {3: 1.0}}, "own/3, named by a int"),
        (0.5, "gives its results as float"),
    ],
)
def test_what_is_no_number_is_refused_by_name(results, words):
    with pytest.raises(InputError, match=rf"^dataloader\.evaluator .*{words}"):
        to_numbers(results)
