import pytest

from medmask.config.loading import load_config
from medmask.errors import InputError

CONFIG = """
from detectron2.config import LazyCall as L
from fvcore.common.param_scheduler import ConstantParamScheduler

model = dict(width=3, layers=[dict(depth=1), dict(depth=2)])
dataloader = dict(train=dict(dataset="a"))
optimizer = dict(lr=1e-3)
lr_multiplier = L(ConstantParamScheduler)(value=1.0)
train = dict(max_iter=10, output_dir="out", nothing=None)
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return str(path)


def test_overrides_are_applied(config_file):
    overrides = ["train.max_iter=20", "train.nothing=1", "model.layers.1.depth=5", "+model.new=x"]
    config = load_config(config_file, overrides)
    assert config.train.max_iter == 20
    assert config.train.nothing == 1
    assert config.model.layers[1].depth == 5
    assert config.model.new == "x"


STEPS = "lr_multiplier._target_=medmask.solver.StepSchedule"


def test_part_that_is_chosen_by_name_takes_over_what_it_knows(config_file):
    steps = [STEPS, "+lr_multiplier.values=[1,0.5]", "+lr_multiplier.milestones=[0.8]"]
    schedule = load_config(config_file, steps).lr_multiplier
    assert set(schedule) == {"_target_", "values", "milestones"}
    linear = "lr_multiplier._target_=fvcore.common.param_scheduler.ConstantParamScheduler"
    assert load_config(config_file, [linear]).lr_multiplier.value == 1.0


def test_setting_that_is_given_stays_though_the_part_does_not_know_it(config_file):
    schedule = load_config(config_file, [STEPS, "lr_multiplier.value=0.5"]).lr_multiplier
    assert schedule.value == 0.5  # the check of the config names it


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.max_itr=20"], ["train.max_itr", "did you mean train.max_iter?"]),
        (["trian.max_iter=20"], ["trian.max_iter", "did you mean train.max_iter?"]),
        (["train.max_iter.x=20"], ["train.max_iter.x"]),
        (["~train.max_iter"], ["train.max_iter", "delete"]),
        (["train.max_iter"], ["cannot read the override train.max_iter: give KEY=VALUE"]),
        (["train.max_iter=ä (1)"], ["max_iter=ä (1): put", "\"train.max_iter='ä (1)'\""]),
        (["train.max_iter=a,b"], ["override train.max_iter=a,b: give one value, in quotes"]),
        (["train.max_iter=~/x"], ["override train.max_iter=~/x: write the path of the home"]),
        (["+loss_hooks.teacher=null"], ["no loss_hooks.teacher", "leave out"]),
    ],
)
def test_wrong_override_is_named(config_file, overrides, words):
    with pytest.raises(InputError) as error:
        load_config(config_file, overrides)
    assert all(word in str(error.value) for word in words)


def test_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.py does not exist: name one"):
        load_config("nowhere.py")
    with pytest.raises(InputError, match=r"--config-file is missing"):
        load_config("")


def test_broken_and_incomplete_files_are_named(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("model = (")
    with pytest.raises(InputError, match=r"broken\.py cannot be read"):
        load_config(str(broken))
    wrong = tmp_path / "wrong.py"
    wrong.write_text("a = 1\nb = c\n")
    with pytest.raises(InputError, match=r"wrong\.py, line 2, cannot be read: NameError: .*'c'"):
        load_config(str(wrong))
    page = tmp_path / "page.py"
    page.write_text("from .wrong import a\n")
    with pytest.raises(InputError, match=r"page\.py cannot be read: .*wrong\.py, line 2: NameErr"):
        load_config(f"{tmp_path}/./page.py")
    page.write_text("from .broken import model\n")
    with pytest.raises(
        InputError, match=r"page\.py, line 1, .*broken\.py has syntax error in line"
    ):
        load_config(str(page))
    own = "from medmask.data import register_coco_dataset as r\nr('n', 'a.json', '.', 'mass')\n"
    wrong.write_text(own)
    with pytest.raises(InputError, match=r"line 2, cannot be read: the classes must be a list"):
        load_config(str(wrong))
    incomplete = tmp_path / "incomplete.py"
    incomplete.write_text("model = dict(a=1)\ntrain = dict(b=1)\n")
    with pytest.raises(InputError, match="defines no dataloader, optimizer, lr_multiplier"):
        load_config(str(incomplete))
