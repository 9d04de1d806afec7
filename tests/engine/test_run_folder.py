"""Runs in folders that hold another."""

import json
import shutil
from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.config import load_config
from medmask.config.yaml_files import read_config_yaml, write_config_yaml
from medmask.data import register_coco_dataset
from medmask.engine import RunMode, open_run_folder
from medmask.engine.former_run import ASIDE
from medmask.engine.run_folder import RUN_FILES, RunFolder, write_config
from medmask.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs" / "medmask"
CONFIG = CONFIGS / "phantom2ffdm" / "masked_retraining_teacher.py"


@pytest.fixture
def make_config(tmp_path):
    """The config of a teaching run in ``tmp_path / "run"`` with changes."""

    def make(*overrides):
        folder = f"train.output_dir={tmp_path / 'run'}"
        return load_config(str(CONFIG), [folder, *overrides])

    return make


@pytest.fixture
def run(tmp_path, make_config):
    """The folder of a run that was interrupted after 100 of 400 iterations."""
    with open_run_folder(make_config(), RunMode.NEW) as folder:
        write_config(make_config(), folder)
    run = tmp_path / "run"
    (run / "last_checkpoint").write_text("model_0000099.pth")
    (run / "metrics.json").touch()
    (run / "model_0000099.pth").touch()
    (run / "inference").mkdir()
    (run / "inference/froc.json").touch()
    return run


@pytest.fixture
def own_set(tmp_path):
    """The name of a registered data set of the user's own, which is forgotten after the test."""
    name = "set_of_a_run"
    register_coco_dataset(name, tmp_path / "set.json", tmp_path, ["malignant"])
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_config_has_the_users_own_data_sets(tmp_path, make_config, own_set):
    config = make_config(f"dataloader.test.dataset={own_set}")
    with open_run_folder(config, RunMode.NEW) as folder:
        write_config(config, folder)
    stored = read_config_yaml(tmp_path / "run" / "config.yaml")
    assert stored.own_datasets[own_set] == {
        "json_file": str(tmp_path / "set.json"),
        "image_root": str(tmp_path),
        "thing_classes": ["malignant"],
    }
    assert "own_datasets" not in config


def resume(config):
    with open_run_folder(config, RunMode.RESUME) as folder:
        if not folder.keeps_record:
            write_config(config, folder)
        return folder


def test_used_folder_is_refused(run, make_config):
    files = sorted(run.rglob("*"))
    with (
        pytest.raises(InputError, match=r"holds a run already .*--resume.*--overwrite"),
        open_run_folder(make_config(), RunMode.NEW),
    ):
        pass
    assert sorted(run.rglob("*")) == files


@pytest.mark.parametrize(
    "name", ["evaluation.json", "metrics.json", "model_0000009.pth", "evaluations.json"]
)
def test_single_sign_of_a_run_is_enough(tmp_path, make_config, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).touch()
    with (
        pytest.raises(InputError, match=f"holds a run already .{name}"),
        open_run_folder(make_config(), RunMode.NEW),
    ):
        pass


def test_folder_of_other_things_is_no_run(tmp_path, make_config):
    (tmp_path / "run").mkdir()
    for name in ("notes.txt", "model.pth", "benchmark_log.txt", "run.lock", "config.yaml"):
        (tmp_path / "run" / name).touch()
    with open_run_folder(make_config(), RunMode.NEW):
        pass


def what_is_left(run):
    """Names in the folder, without the lock and the run that is set aside."""
    names = {str(x.relative_to(run)) for x in run.rglob("*")}
    return {x for x in names if x != "run.lock" and not x.startswith(ASIDE)}


def test_overwriting_removes_the_files_of_the_run_alone(run, make_config):
    foreign = ["notes.txt", "my_model_best.pth", "inference/mine.csv", "model_final.pth.txt"]
    for name in foreign:
        (run / name).touch()
    for pattern in RUN_FILES:
        path = run / pattern.replace("[0-9]*", "0000123").replace("*", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with open_run_folder(make_config("optimizer.lr=0.5"), RunMode.OVERWRITE):
        left = what_is_left(run)
    assert left == {*foreign, "inference"}


def test_overwriting_removes_what_stages_gave_besides_the_trained_model(run, make_config):
    results = {"iteration": 100, "froc/R@0.3": 5.0, "ema/froc/R@0.3": 5.0, "learning/mae/R2": 0.1}
    (run / "evaluations.json").write_text(json.dumps([results]))
    foreign = ["imagenet_final.pth", "ema_first.pth", "learning_final.pth", "average/notes.txt"]
    own = ["froc_detections.json", "froc.json", "froc.png", "coco_instances_results.json"]
    own += ["instances_predictions.pth"]
    for model in ("ema", "teacher", "average"):
        (run / model / "inference").mkdir(parents=True)
        for name in (f"{model}_best.pth", f"{model}_final.pth"):
            (run / name).touch()
        for name in own:
            (run / model / "inference" / name).touch()
    for name in foreign:
        (run / name).touch()
    with open_run_folder(make_config(), RunMode.OVERWRITE):
        left = what_is_left(run)
    assert left == {*foreign, "average"}


@pytest.mark.parametrize("content", ["[", "[1]", "{}", "[]"])
def test_overwriting_takes_damaged_evaluations(run, make_config, content):
    (run / "evaluations.json").write_text(content)
    with open_run_folder(make_config(), RunMode.OVERWRITE):
        assert not what_is_left(run)


def test_run_in_the_same_folder_at_once_is_refused(run, make_config):
    with open_run_folder(make_config(), RunMode.RESUME):
        for mode in RunMode:
            with pytest.raises(InputError, match="in use"), open_run_folder(make_config(), mode):
                pass
    assert (run / "last_checkpoint").exists()


@pytest.mark.parametrize(
    "override",
    [
        "train.max_iter=500",
        "train.eval_period=10",
        "train.best_metric=froc/R@1",
        "train.log_period=1",
        "train.gradient_norm_period=0",
        "train.held_out_images=3",
        "train.device=cpu",
        "train.wandb.enabled=true",
        "train.mlflow.experiment=other",
        "train.checkpointer.period=7",
        "train.checkpointer.max_to_keep=9",
        "dataloader.train.num_workers=0",
        "loss_hooks.teacher.loader.num_workers=1",
        "dataloader.test.dataset=phantom_ffdm_test",
        "dataloader.test.batch_size=1",
        "dataloader.evaluator=[]",
        "loss_hooks.masked_autoencoder.num_pictured=2",
    ],
)
def test_resumed_run_may_change_this(run, make_config, override):
    before = (run / "config.yaml").read_bytes()
    resume(make_config(override))
    assert (run / "config.yaml").read_bytes() != before
    assert (run / "config_before_resume_1.yaml").read_bytes() == before


def test_kill_after_the_new_config_is_written_loses_no_former_one(run, make_config, monkeypatch):
    before = (run / "config.yaml").read_bytes()

    def write_and_die(config, path):
        write_config_yaml(config, path)
        raise KeyboardInterrupt

    monkeypatch.setattr("medmask.engine.run_folder.write_config_yaml", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        resume(make_config("train.max_iter=500"))
    assert (run / "config_before_resume_1.yaml").read_bytes() == before


def test_former_configs_do_not_replace_each_other(run, make_config):
    for iterations in (500, 600, 700):
        resume(make_config(f"train.max_iter={iterations}"))
        if iterations == 600:
            (run / "config_before_resume_1.yaml").unlink()  # by the user
    assert read_config_yaml(run / "config_before_resume_1.yaml").train.max_iter == 600
    assert read_config_yaml(run / "config_before_resume_2.yaml").train.max_iter == 500


def test_other_name_of_the_same_is_no_change(run, make_config):
    same = "medmask.stages.domain_adversarial.hook.DomainAdversarialHook"
    resume(make_config(f"loss_hooks.domain_adversarial._target_={same}"))


def test_file_of_a_relative_import_is_the_same_by_any_digits(tmp_path, run, make_config):
    (tmp_path / "own_hooks.py").write_text("class Hook:\n    pass\n")
    (tmp_path / "page.py").write_text("from .own_hooks import Hook\nhook = dict(_target_=Hook)\n")

    def read():
        config = make_config()
        config.loss_hooks.own = LazyConfig.load(str(tmp_path / "page.py")).hook
        return config

    config = read()
    write_config(config, RunFolder(run))
    resume(read())
    text = (run / "config.yaml").read_text()
    before = text.replace("own_hooks.Hook", "detectron2._cfg_loader0a1b.own_hooks.py.Hook")
    assert before != text
    (run / "config.yaml").write_text(before)  # as versions of before wrote it
    resume(read())
    (run / "config.yaml").write_text(text.replace("own_hooks.Hook", "own_hooks.Other"))
    words = r"_target_ was 'own_hooks\.Other' and is 'own_hooks\.Hook'"
    with pytest.raises(InputError, match=words):
        resume(read())


def test_unchanged_config_leaves_no_former_one(run, make_config):
    resume(make_config("optimizer.lr=2e-4"))
    assert not list(run.glob("config_before_resume_*"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.lr=0.5", "optimizer.lr was 0.0002 and is 0.5"),
        ("train.seed=7", "train.seed was 0 and is 7"),
        ("train.init_checkpoint=x.pth", "train.init_checkpoint was 'output"),
        ("train.amp.enabled=true", "train.amp.enabled was False and is True"),
        ("train.clip_gradient_norm=2", "train.clip_gradient_norm was 1.0 and is 2"),
        ("train.gradient_accumulation=2", "train.gradient_accumulation was 1 and is 2"),
        ("model.transformer.num_queries=7", "model.transformer.num_queries was 30 and is 7"),
        ("model.backbone.norm=BN", "model.backbone.norm was 'FrozenBN' and is 'BN'"),
        ("+model.criterion.class_weight=1", "model.criterion.class_weight was not there and is 1"),
        ("dataloader.train.dataset=phantom_ffdm_train", "dataloader.train.dataset was"),
        ("dataloader.train.total_batch_size=4", "dataloader.train.total_batch_size was 8"),
        ("dataloader.train.label_fraction=0.5", "dataloader.train.label_fraction was 1.0"),
        ("loss_hooks.teacher.ema_decay=0.5", "loss_hooks.teacher.ema_decay was"),
        ("lr_multiplier.warmup_length=0.5", "lr_multiplier.warmup_length was"),
        ("optimizer._target_=torch.optim.Adam", "optimizer._target_ was 'torch.optim"),
        ("loss_hooks={}", "and [0-9]+ more"),
    ],
)
def test_resumed_run_may_not_change_that(run, make_config, override, words):
    before = (run / "config.yaml").read_bytes()
    config = make_config()
    if override == "loss_hooks={}":
        del config["loss_hooks"]
    else:
        config = make_config(override)
    with pytest.raises(InputError, match=words) as error:
        resume(config)
    assert "\n" not in str(error.value)
    assert (run / "config.yaml").read_bytes() == before
    assert not list(run.glob("config_before_resume_*"))


def test_values_that_follow_others_are_not_named_beside_them(run, make_config):
    with pytest.raises(InputError) as error:
        resume(make_config("optimizer.lr=0.5"))
    assert "optimizer.params.lr" not in str(error.value)


def test_folder_may_be_spelled_in_another_way(run, make_config, monkeypatch):
    monkeypatch.chdir(run.parent)
    resume(make_config("train.output_dir=run"))
    shutil.move(run, run.with_name("moved"))
    resume(make_config(f"train.output_dir={run.with_name('moved')}"))


def test_config_of_a_finished_run_stays(run, make_config):
    (run / "evaluations.json").write_text(json.dumps([{"iteration": 400}]))
    before = (run / "config.yaml").read_bytes()
    assert resume(make_config("train.eval_period=7")).keeps_record
    assert (run / "config.yaml").read_bytes() == before
    assert not resume(make_config("train.max_iter=401")).keeps_record


def test_finished_run_is_tested_on_other_images(run, make_config):
    (run / "evaluations.json").write_text(json.dumps([{"iteration": 400}]))
    assert not resume(make_config("dataloader.test.dataset=phantom_ffdm_test")).keeps_record


def test_without_a_checkpoint_resuming_starts(tmp_path, run, make_config):
    """As after a kill before the first one."""
    (run / "last_checkpoint").unlink()
    (run / "model_0000099.pth").unlink()
    resume(make_config("optimizer.lr=0.5"))
    assert read_config_yaml(run / "config.yaml").optimizer.lr == 0.5
    shutil.rmtree(run)
    resume(make_config())
    assert (run / "config.yaml").exists()


@pytest.mark.parametrize("name", ["model_0000099.pth", "model_final.pth"])
def test_checkpoint_that_nothing_names_is_resumed_by_its_own_config(run, make_config, name):
    (run / "last_checkpoint").unlink()
    (run / "model_0000099.pth").rename(run / name)
    resume(make_config("train.max_iter=500"))
    with pytest.raises(InputError, match="holds a run with another config"):
        resume(make_config("optimizer.lr=0.5"))


def test_results_without_a_checkpoint_are_not_replaced_by_resuming(run, make_config):
    for name in ("last_checkpoint", "model_0000099.pth"):
        (run / name).unlink()
    (run / "evaluations.json").write_text("[]")
    before = {path.name for path in run.iterdir()}
    with pytest.raises(InputError, match=r"holds the results of a run .*--overwrite"):
        resume(make_config())
    assert {path.name for path in run.iterdir()} == before


def test_config_that_cannot_be_compared_is_told(run, make_config, caplog):
    (run / "config.yaml").write_text("model: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(InputError, match=r"config\.yaml.*line 1 has the tag"):
        resume(make_config())
    (run / "config.yaml").unlink()
    resume(make_config())
    assert "is gone" in caplog.text


def test_evaluation_leaves_the_record_of_the_training_alone(tmp_path, run, make_config):
    before = (run / "config.yaml").read_bytes()
    for _ in range(2):
        with open_run_folder(make_config("optimizer.lr=0.5"), RunMode.EVALUATE) as folder:
            write_config(make_config("optimizer.lr=0.5"), folder)
    assert (run / "config.yaml").read_bytes() == before
    assert read_config_yaml(run / "evaluation_config.yaml").optimizer.lr == 0.5

    elsewhere = make_config(f"train.output_dir={tmp_path / 'elsewhere'}")
    for _ in range(2):
        with open_run_folder(elsewhere, RunMode.EVALUATE) as folder:
            write_config(elsewhere, folder)
    assert [x.name for x in (tmp_path / "elsewhere").iterdir()] == ["config.yaml"]


def test_overwriting_does_not_remove_the_weights_that_the_run_starts_from(run, make_config):
    (run / "model_best.pth").touch()
    before = set(run.iterdir())
    config = make_config(f"train.init_checkpoint={run / 'model_best.pth'}")
    with (
        pytest.raises(InputError, match=r"init_checkpoint .*model_best.pth is of the run that"),
        open_run_folder(config, RunMode.OVERWRITE),
    ):
        pass
    assert set(run.iterdir()) - {run / "run.lock"} == before - {run / "run.lock"}
