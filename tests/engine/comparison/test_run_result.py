import json
import math
from pathlib import Path

import pytest

from medmask.engine.comparison.plan import Run
from medmask.engine.comparison.run_config import RunConfigs
from medmask.engine.comparison.run_result import complete_run, read_result
from medmask.errors import InputError


def test_last_measures_of_stages_are_kept_with_the_metrics_of_the_model_that_counts(tmp_path):
    """A stage that ended before the last evaluation was measured when it ended."""
    evaluations = [{"iteration": 9, "froc/CPM": 1.0, "average/froc/CPM": 2.0, "learning/b": 0.5}]
    evaluations[0]["judged"] = {"metric": "froc/CPM", "datasets": ["a"]}
    steps = [{"learning/a": 0.1}, {"loss": 3.0}, {"learning/a": 0.2}, {"learning/b": 0.5}]

    def call(log):
        (tmp_path / "evaluations.json").write_text(json.dumps(evaluations))
        lines = [json.dumps(step) for step in steps] + ['{"learning/c": NaN}']
        (tmp_path / "metrics.json").write_text("\n".join(lines) + "\n")
        return 0

    run = Run("r", Path("r.py"), model="average")
    result = complete_run(run, tmp_path, ["a=1"], call)
    expected = {"froc/CPM": 2.0, "learning/a": 0.2, "learning/b": 0.5, "learning/c": None}
    assert result.metrics == expected
    assert read_result(run, tmp_path, ["a=1"], RunConfigs()).metrics == expected
    last = complete_run(Run("r", Path("r.py")), tmp_path, ["a=1"], call).metrics
    assert last.keys() == {*evaluations[0], *expected} - {"judged"}


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": [1]},
        {"metrics": {"froc/CPM": "high"}},
        {"metrics": {"froc/CPM": math.nan}},
        {"minutes": None},
        {"settings": 5},
        {"settings": [5]},
        {"start_sha256": 5},
    ],
)
def test_damaged_result_is_named(tmp_path, change):
    content = {"metrics": {"froc/CPM": None}, "minutes": 1, "settings": ["a=1"]}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert read_result(Run("r", Path("r.py")), tmp_path, ["a=1"], RunConfigs()).minutes == 1
    (tmp_path / "result.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=r"result\.json is no result of this version"):
        read_result(Run("r", Path("r.py")), tmp_path, ["a=1"], RunConfigs())


def test_damaged_time_is_named(tmp_path):
    (tmp_path / "benchmark_minutes.json").write_text("{}")
    with pytest.raises(InputError, match="holds no number of minutes: delete it"):
        complete_run(Run("r", Path("r.py")), tmp_path, [], lambda log: 0)
