"""The timing of exported files, on a small model."""

import json
from importlib.util import find_spec

import pytest

pytest.importorskip("onnxruntime")


def test_sides_stand_side_by_side(run_tool, tmp_path):
    figures = tmp_path / "export.json"
    result = run_tool(
        "benchmarks/export.py",
        *("--size", "64x48", "--batch-size", 2, "--repeats", 1, "--json", figures),
        *("model.transformer.num_encoder_layers=1", "model.transformer.num_decoder_layers=1"),
    )
    assert result.returncode == 0, result.stderr
    sides = {"pytorch", "onnxruntime"} | ({"openvino"} if find_spec("openvino") else set())
    assert sides == {line.split()[0] for line in result.stdout.splitlines()[1:]}
    content = json.loads(figures.read_text())
    assert content["settings"]["threads"] == 2
    assert set(content["differences"]) == sides - {"pytorch"}
    assert max(content["differences"].values()) <= 1e-4
    assert all(len(turns) == 1 and turns[0] > 0 for turns in content["seconds"].values())
