"""Choices of a user that are out of range or contradict each other."""

import pytest

from medmask.converters.options import ConversionOptions
from medmask.errors import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"max_size": 0}, "max-size is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"labels": ()}, "no label"),
        ({"labels": ("benign",)}, "label 'benign'"),
        ({"link": True, "max_size": 5}, "--link leaves"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        ConversionOptions(**options)
