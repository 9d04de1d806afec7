"""Exports as a user runs them."""

import pytest
from fresh_runs import write_fresh_run
from isolation import assert_refused, run_tool

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CONFIG = "configs/medmask/phantom/source_only.py"
SMALL = (
    "train.device=cpu",
    "model.transformer.num_encoder_layers=1",
    "model.transformer.num_decoder_layers=1",
    "dataloader.test.mapper.augmentation.short_edge_length=64",
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What a training run leaves: config.yaml and weights (fresh ones)."""
    folder = tmp_path_factory.mktemp("run")
    write_fresh_run(folder, name="model_best.pth", overrides=SMALL)
    return folder


def test_tool_writes_a_file_that_onnxruntime_loads(run_folder, tmp_path):
    output = tmp_path / "new" / "model.onnx"
    weights = run_folder / "model_best.pth"
    result = run_tool("export_onnx.py", "--weights", weights, "--output", output, seconds=300)
    assert result.status == 0, result.describe()
    assert "compared with PyTorch on 4 batches" in result.output
    assert f"written: {output}" in result.output
    session = onnxruntime.InferenceSession(output)
    assert [x.name for x in session.get_outputs()] == ["boxes", "scores", "classes"]
    assert [path.name for path in output.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "nowhere.pth", "--output", "model.onnx"], "nowhere.pth do not exist"),
        (["--weights", "w.pth", "--output", "w.pth/model.onnx"], "w.pth"),
        (["--weights", "w.pth", "--output", "model.bin"], "must end in .onnx"),
        (["--weights", "w.pth", "--output", "model.onnx"], "config.yaml"),
        (["--output", "model.onnx"], "--weights"),
    ],
    ids=["weights", "folder", "suffix", "config", "option"],
)
def test_what_cannot_be_is_refused(tmp_path, options, words):
    (tmp_path / "w.pth").touch()
    result = run_tool("export_onnx.py", *options, folder=tmp_path)
    assert_refused(result, words)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]
