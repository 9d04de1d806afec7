import json

import pytest

TOOL = "benchmarks/shared_machine.py"


@pytest.mark.parametrize(
    "options",
    [
        ("--busy", 1, 1),
        pytest.param(("--busy", -1), marks=pytest.mark.slow),
        pytest.param(("--repeats", 0), marks=pytest.mark.slow),
    ],
)
def test_refusals(run_tool, options):
    result = run_tool(TOOL, *options)
    assert result.returncode == 2
    assert options[0] in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_every_way_of_waiting_is_timed(run_tool, tmp_path):
    figures = tmp_path / "figures.json"
    few = ("--busy", 0, "--repeats", 1, "--turns", 1, "--steps", 1, "--json", figures)
    result = run_tool(TOOL, *few, "--synthetic", "64x64")
    assert result.returncode == 0, result.stderr
    ways = json.loads(figures.read_text())
    assert all(way["0"][0] > 0 for way in ways.values())
    assert all(way in result.stdout for way in ways)
