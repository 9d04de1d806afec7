"""The steps of the demo, with commands that only write down how they were called."""

import json

import pytest

from medmask.commands import repository
from medmask.commands.demo import Demo
from medmask.commands.repository import find_in_repository
from medmask.errors import InputError

STAND_IN = """
import json, os, sys
from pathlib import Path

with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(3 if sys.argv[1] == "visualize-results" else 0)
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Reads the calls of ``python -m medmask``, in place of which a stand-in runs."""
    package = tmp_path / "stand_in" / "medmask"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(STAND_IN)
    file = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(file))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_stages_start_from_the_one_before(tmp_path, calls, capfd):
    demo = Demo(tmp_path / "demo", ["train.seed=3"], shows_tools=True)
    demo.make_phantoms()
    demo.train("source_only", start=None)
    demo.train("expert", start="source_only")
    phantoms, first, second = calls()
    assert phantoms == ["make-phantoms", "--output", f"{tmp_path}/datasets/phantom"]
    assert first[:2] == ["train", "--config-file"]
    assert first[2].endswith("configs/medmask/phantom2ffdm/source_only.py")
    assert not any("init_checkpoint" in argument for argument in first)
    assert f"train.init_checkpoint={tmp_path}/demo/source_only/model_final.pth" in second
    assert any(argument.startswith("loss_hooks.expert_distillation.stores") for argument in second)
    assert first[-1] == second[-1] == "train.seed=3"
    shown = capfd.readouterr().out
    assert "== Stage 1, supervised on film\n$ python tools/lazyconfig_train_net.py" in shown
    assert "$ python tools/make_phantoms.py --output" in shown


def test_an_expert_that_is_there_is_not_trained_again(tmp_path, calls, capfd):
    demo = Demo(tmp_path / "demo", [], shows_tools=False)
    demo.make_expert_store()
    demo.expert.mkdir(parents=True)
    (demo.expert / "zero_shot.json").write_text("{}")
    demo.make_expert_store()
    names = [call[0] for call in calls()]
    assert names == ["train-phantom-expert", "extract-embeddings", "extract-embeddings"]
    assert "$ medmask train-phantom-expert --output" in capfd.readouterr().out


def test_a_step_that_fails_ends_the_demo(tmp_path, calls):
    demo = Demo(tmp_path / "demo", [], shows_tools=False)
    with pytest.raises(InputError, match="'Pictures of film' failed with status 3"):
        demo.draw()


def test_files_of_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_in_repository("configs/medmask").is_dir()
    (tmp_path / "configs").mkdir()
    assert str(find_in_repository("configs")) == "configs"
    monkeypatch.setattr(repository, "_ROOT", tmp_path)
    with pytest.raises(InputError, match=r"configs/medmask does not exist: .*a clone"):
        find_in_repository("configs/medmask")
