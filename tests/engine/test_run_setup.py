import json

from omegaconf import OmegaConf

from medmask.engine.run_folder import RunFolder
from medmask.engine.run_setup import _write_versions
from medmask.utils.file_hash import hash_file

KEY = "weights of train.init_checkpoint"


def versions_of(tmp_path, weights):
    config = {"train": {"init_checkpoint": str(weights)}, "dataloader": {"test": {}, "train": {}}}
    _write_versions(OmegaConf.create(config), RunFolder(tmp_path))
    return json.loads((tmp_path / "versions.json").read_text())


def test_versions_tell_the_weights_that_a_run_first_started_from(tmp_path):
    weights = tmp_path / "start.pth"
    for content in (b"first", b"second one"):  # a run without a checkpoint starts anew
        weights.write_bytes(content)
        first = versions_of(tmp_path, weights)
        assert first[KEY] == hash_file(weights)
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    weights.write_bytes(b"trained again")
    assert versions_of(tmp_path, weights)[KEY] == first[KEY]
    del first[KEY]  # as versions of before wrote it
    (tmp_path / "versions.json").write_text(json.dumps(first))
    assert KEY not in versions_of(tmp_path, weights)


def test_weights_that_are_no_file_have_no_version(tmp_path):
    for weights in ("", "timm://resnet18", tmp_path / "none.pth"):
        assert KEY not in versions_of(tmp_path, weights)
