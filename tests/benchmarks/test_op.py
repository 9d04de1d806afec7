import json

import pytest
import torch


def test_every_implementation_is_timed_and_the_roofline_told(run_tool, tmp_path):
    options = ("--shape", "small-encoder", "--dtype", "float32", "bfloat16", "--repeats", 1)
    result = run_tool("benchmarks/op.py", *options, "--backward", "--json", tmp_path / "op.json")
    assert result.returncode == 0, result.stderr
    assert "### small-encoder, projected, forward + backward" in result.stdout
    given, projected = json.loads((tmp_path / "op.json").read_text())["results"]
    assert (given["entry"], projected["entry"]) == ("given", "projected")
    for measured in (given, projected):
        for dtype in ("float32", "bfloat16"):
            figures = measured["figures"][f"plain PyTorch, {dtype}"]
            assert figures["median_ms"] == figures["fastest_ms"] > 0
            assert f"{figures['median_ms']:.2f} |" in result.stdout
    # 1360 tokens and queries of 8 x 32 channels are read, written and once more in the backward
    # pass, with a gradient for each; and 4 x 4 samples for each head, of 3 numbers.
    rows, samples, levels = 1360 * 256 * 4, 1360 * 8 * 16 * 3 * 4, 4 * 3 * 8
    assert given["rooflines"]["float32"]["megabytes"] == pytest.approx(
        (2 * (2 * rows + samples + levels) + rows + samples) / 1e6
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--repeats", 0), "argument --repeats: must be at least 1, but is 0"),
        (("--batch", -1), "argument --batch: must be at least 1, but is -1"),
        pytest.param(
            ("--device", "cuda"),
            "error: --device cuda: PyTorch finds no CUDA device here; use --device cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_refusals(run_tool, options, sentence):
    result = run_tool("benchmarks/op.py", *options)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].endswith(sentence)
