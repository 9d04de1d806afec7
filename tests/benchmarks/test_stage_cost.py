import json

import pytest


@pytest.mark.slow
def test_both_kinds_of_step_are_timed(run_tool, tmp_path):
    size = ("--batch-size", 2, "--size", 64, 48, "--turns", 3)
    result = run_tool(
        "benchmarks/stage_cost.py", *size, "--json", tmp_path / "cost.json", "train.device=cpu"
    )
    assert result.returncode == 0, result.stderr
    cost = json.loads((tmp_path / "cost.json").read_text())
    one, more = (sorted(cost["seconds"][name]) for name in ("stage 1", "with loss hooks"))
    assert len(one) == len(more) == 3
    assert cost["ratio"] == more[1] / one[1]
    assert f"{cost['ratio']:.2f}" in result.stdout


@pytest.mark.slow
def test_stage_without_hooks_has_nothing_to_compare(run_tool):
    result = run_tool(
        "benchmarks/stage_cost.py", "--config-file", "configs/medmask/phantom2ffdm/source_only.py"
    )
    assert result.returncode == 2
    assert "has no loss_hooks" in result.stderr
