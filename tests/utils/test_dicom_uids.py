import pytest

from medmask.utils.dicom_uids import is_uid


@pytest.mark.parametrize("uid", ["0", "1.2.840.10008.1.1", "1.02", "1" * 64])
def test_identifiers(uid):
    assert is_uid(uid)


@pytest.mark.parametrize(
    "other",
    ["", "..", "../1", "1..2", ".1", "1.", "1.2 ", "1.2\n", "1" * 65, "١", None, 12, ["1"]],
)
def test_anything_else(other):
    assert not is_uid(other)
