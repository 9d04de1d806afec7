import os
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.errors import InputError


def make_model(value=None):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    if value is not None:
        with torch.no_grad():
            for x in model.state_dict().values():
                x.fill_(value)
    return model


def holds(model, value):
    return all((x == value).all() for x in model.state_dict().values())


class RunsCode:
    def __repr__(self):
        return "RunsCode()"  # of one name in all processes of the tests

    def __reduce__(self):
        return exec, ("raise SystemExit('code from a checkpoint was run')",)


def test_a_run_comes_back(tmp_path):
    model = make_model(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5)
    MedMaskCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_7", iteration=6)

    other = make_model()
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.1)
    checkpointer = MedMaskCheckpointer(other, str(tmp_path), optimizer=other_optimizer)
    assert checkpointer.resume()
    assert holds(other, 3)
    assert other_optimizer.param_groups[0]["lr"] == 0.5
    extra = checkpointer.load(str(tmp_path / "model_7.pth"))
    assert extra["iteration"] == 6
    assert extra.keys() == {"iteration", "random_states"}


def test_nothing_to_resume(tmp_path):
    assert not MedMaskCheckpointer(make_model(), str(tmp_path)).resume()


def test_random_generators_continue_where_they_were(tmp_path):
    def draw():
        return random.random(), random.gauss(0, 1), np.random.normal(), torch.rand(1).item()

    checkpointer = MedMaskCheckpointer(make_model(), str(tmp_path))
    draw()  # both gaussian generators keep a second number for the next call
    checkpointer.save("model")
    expected = [draw() for _ in range(3)]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    checkpointer.resume()
    assert [draw() for _ in range(3)] == expected


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpointer = MedMaskCheckpointer(make_model(1), str(tmp_path))
    checkpointer.save("model")

    def fill_the_disk(content, file):
        file.write(b"half of a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    failing = MedMaskCheckpointer(make_model(2), str(tmp_path))
    for name in ("model", "model_next"):
        with pytest.raises(OSError, match="No space left"):
            failing.save(name)
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "last_checkpoint"}
    resumed = make_model()
    assert MedMaskCheckpointer(resumed, str(tmp_path)).resume()
    assert holds(resumed, 1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("file.pth", {"model": {}, "hook": RunsCode()}, "exec"),
        ("file.pth", b"PK\x03\x04 cut off", "damaged"),
        ("file.pth", b"", "damaged"),
        ("file.pth", b"hello", "damaged"),
        ("file.pth", b"<html>404 not found</html>", "damaged"),
        ("file.pth", None, "does not exist"),
        ("file.pth", [1, 2], "no state_dict but a list"),
        ("file.pth", "text", "no state_dict but a str"),
        ("file.pth", {}, "no parameters"),
        ("file.pth", {"model": None}, "no state_dict but a NoneType"),
        ("file.pth", {"model": {}}, "no parameters"),
        ("file.pth", {"model": {"a": "text"}}, r"no named tensor \(a\)"),
        ("file.pth", {"model": {1: torch.zeros(1)}}, r"no named tensor \(1\)"),
        ("file.pkl", {"model": {}, "hook": RunsCode()}, r"exec.* only containers of numpy arrays"),
        ("file.pkl", {"model": {"weight": Path("x")}}, "pathlib"),
        ("file.pkl", {"blobs": {}}, r"no named tensor \(blobs\)"),
        ("file.pkl", {"model": {"a": np.array([object], "O")}}, "something else than numbers"),
        ("file.pkl", b"\x80\x04 cut off", "damaged"),
        ("file.pkl", b"", "damaged"),
        ("file.pkl", None, "does not exist"),
    ],
    ids=str,
)
def test_what_cannot_be_loaded_is_refused_in_a_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    elif content is not None:
        torch.save(content, path)
    model = make_model(1)
    checkpointer = MedMaskCheckpointer(model)
    pattern = f"^checkpoint {re.escape(str(path))} .*{message}"
    ways = [checkpointer.load_start_weights]
    if path.suffix != ".pkl":  # which has no checksums
        ways += [checkpointer.load, checkpointer.load_for_inference]
    for load in ways:
        with pytest.raises(InputError, match=pattern) as error:
            load(str(path))
        assert "\n" not in str(error.value)
    assert holds(model, 1)


def test_pickles_are_for_the_start_of_training_only(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({"model": {"0.weight": np.zeros((2, 3))}}))
    for load in (
        MedMaskCheckpointer(make_model()).load_for_inference,
        MedMaskCheckpointer(make_model()).load,
    ):
        with pytest.raises(InputError, match="damaged"):
            load(str(path))


def test_resume_names_a_checkpoint_that_was_deleted(tmp_path):
    checkpointer = MedMaskCheckpointer(torch.nn.Linear(2, 2), str(tmp_path))
    assert not checkpointer.resume()
    checkpointer.save("model_0000009")
    (tmp_path / "model_0000009.pth").unlink()
    with pytest.raises(InputError, match=r"last_checkpoint names .*model_0000009"):
        checkpointer.resume()


def test_resume_passes_over_weights_alone_where_the_last_checkpoint_is_damaged(tmp_path):
    optimizer = torch.optim.SGD(make_model().parameters(), lr=0.5)
    checkpointer = MedMaskCheckpointer(make_model(3), str(tmp_path), optimizer=optimizer)
    checkpointer.save("model_0000004", iteration=4)
    checkpointer.save("model_0000009", iteration=9)
    (tmp_path / "model_0000009.pth").write_bytes(b"cut off")
    save_weights(make_model(5), tmp_path / "model_adabn.pth")
    assert checkpointer.resume()
    assert checkpointer.saved_iteration == 4


def test_resume_takes_the_newest_whole_checkpoint_where_nothing_names_the_last(tmp_path, caplog):
    optimizer = torch.optim.SGD(make_model().parameters(), lr=0.5)
    checkpointer = MedMaskCheckpointer(make_model(3), str(tmp_path), optimizer=optimizer)
    for iteration in (4, 9, 14):
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
        os.utime(tmp_path / f"model_{iteration:07d}.pth", (iteration, iteration))
    (tmp_path / "model_0000014.pth").write_bytes(b"cut off")
    save_weights(make_model(5), tmp_path / "model_adabn.pth")
    (tmp_path / "last_checkpoint").unlink()
    assert checkpointer.resume()
    assert checkpointer.saved_iteration == 9
    assert "last_checkpoint is gone; going on from" in caplog.text
    for iteration in (4, 9):
        (tmp_path / f"model_{iteration:07d}.pth").unlink()
    with pytest.raises(
        InputError, match="last_checkpoint is gone, and no checkpoint of the folder"
    ):
        checkpointer.resume()
    (tmp_path / "model_0000014.pth").unlink()
    assert not checkpointer.resume()  # weights alone are no run


def test_a_link_to_a_checkpoint_that_is_gone_stops_no_resume(tmp_path):
    checkpointer = MedMaskCheckpointer(make_model(3), str(tmp_path))
    checkpointer.save("model_0000009", iteration=9)
    (tmp_path / "model_best.pth").symlink_to(tmp_path / "moved" / "model_best.pth")
    assert checkpointer.resume()
