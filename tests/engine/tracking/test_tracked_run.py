import json

import pytest

from medmask.engine.tracking.tracked_run import describe_run
from medmask.errors import InputError


def test_a_resumed_run_keeps_its_id_and_a_new_one_gets_another(tmp_path):
    first = describe_run(tmp_path, {}, {}, resume=False)
    assert describe_run(tmp_path, {}, {}, resume=True).id == first.id
    other = describe_run(tmp_path, {}, {}, resume=False)
    assert other.id != first.id
    assert describe_run(tmp_path, {}, {}, resume=True).id == other.id


def test_a_run_that_was_not_tracked_before_gets_an_id(tmp_path):
    assert len(describe_run(tmp_path, {}, {}, resume=True).id) == 16


@pytest.mark.parametrize(
    "content", [{}, {"id": 5}, {"id": "../../x"}, ["0123456789abcdef"]], ids=str
)
def test_a_file_without_an_id_is_named(content, tmp_path):
    (tmp_path / "tracked_run.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"tracked_run\.json does not hold the id .*remove it"):
        describe_run(tmp_path, {}, {}, resume=True)
