import json


def test_every_step_is_timed(run_tool, tmp_path):
    few = ("--images", 8, "--detections", 5, "--repeats", 2, "--json", tmp_path / "froc.json")
    result = run_tool("benchmarks/froc.py", *few)
    assert result.returncode == 0, result.stderr
    times = json.loads((tmp_path / "froc.json").read_text())["milliseconds"]
    assert len(times) == 4
    for name, values in times.items():
        assert name in result.stdout
        assert len(values) == 2
        assert min(values) > 0
