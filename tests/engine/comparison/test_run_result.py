import json
from pathlib import Path

from medmask.engine.comparison.plan import Run
from medmask.engine.comparison.run_result import complete_run, read_result


def test_last_measures_of_stages_are_kept_with_the_metrics_of_the_model_that_counts(tmp_path):
    """A stage that ended before the last evaluation was measured when it ended."""
    evaluations = [{"iteration": 9, "froc/CPM": 1.0, "average/froc/CPM": 2.0, "learning/b": 0.5}]
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
    assert read_result(run, tmp_path, ["a=1"]).metrics == expected
