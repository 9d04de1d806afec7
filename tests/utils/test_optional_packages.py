import sys

import pytest

from medmask.errors import InputError
from medmask.utils.optional_packages import import_optional


def test_what_is_missing_is_told_with_its_extra(monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):  # of which the latter may be there already
        monkeypatch.setitem(sys.modules, name, None)
    expected = (
        r"^writing x needs the package pyarrow, which cannot be imported \(.*\): "
        r"run pip install 'medmask-detection\[parquet\]'$"
    )
    with pytest.raises(InputError, match=expected):
        import_optional("pyarrow.parquet", "writing x needs", "parquet")
    assert import_optional("json", "this needs", "json").loads("1") == 1
