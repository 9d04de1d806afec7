"""Every file in configs/medmask describes a run that starts and ends well once its data is there.

All that a run is made of is built here, from the unchanged config: the full-size model, the
optimizer on its parameters, the schedule, the loaders and loss hooks, the evaluators. Only the
data sets are tiny ones, of noise.
"""

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from medmask.config import load_config
from medmask.engine import load_comparison
from medmask.engine.building import build_model, build_trainer
from medmask.engine.run_checks import check_classes, check_run
from medmask.errors import InputError
from medmask.solver.learning_rate import bound_to_run

FOLDER = Path(__file__).parents[1] / "configs" / "medmask"
PLANS = sorted(FOLDER.glob("*/benchmark.py"))
FILES = sorted(set(FOLDER.glob("*/[!_]*.py")) - set(PLANS))
HOOKS = {
    "masked_autoencoder": "masked_autoencoder",
    "expert_distillation": "expert_distillation",
    "domain_adversarial": "discriminators",
    "masks": "mask_decoder",
}
"""a loss hook and the module that it trains"""
FRESH_DECODERS = {"masked_autoencoder", "mask_decoder"}
"""which may have rates of their own"""
TENTH_FOR_THE_LAST_FIFTH = {0: 1, 0.5: 1, 0.79: 1, 0.81: 0.1, 0.999: 0.1, 1.0: 0.1}
CONSTANT = dict.fromkeys(TENTH_FOR_THE_LAST_FIFTH, 1)
REAL = ("mias2inbreast", "inbreast2mias", "inbreast_folds")
OTHER_SCHEDULES = {
    "city2bdd/source_only": {0: 1, 0.74: 1, 0.76: 0.1},
    "city2bdd/cross_domain": CONSTANT,
    "city2foggy/cross_domain": {0: 1, 0.74: 1, 0.76: 0.1},
    "sim2city/cross_domain": {0: 1, 0.49: 1, 0.51: 0.1},
    "ddsm2inbreast/cross_domain": {0: 1, 0.66: 1, 0.68: 0.1},
    "ddsm2rsna/cross_domain": {0: 1, 0.66: 1, 0.68: 0.1},
    **{f"{x}/teaching": CONSTANT for x in ("ddsm2inbreast", "ddsm2rsna")},
    **{f"{x}/teaching": CONSTANT for x in ("city2foggy", "city2bdd", "sim2city")},
}
"""of full-size runs: progress and multiplier of the learning rate"""


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def is_for_two_cores(path):
    return path.parent.name.startswith("phantom") or path.parent.name in REAL


def test_label_and_fold_choose_the_data_sets():
    options = ["datasets.label=malignant"]
    config = load_config(str(FOLDER / "mias2inbreast" / "teaching.py"), options)
    assert config.dataloader.train.dataset == "mini_mias_malignant_all"
    assert config.loss_hooks.teacher.loader.dataset == "inbreast_malignant_train"
    assert config.dataloader.evaluator[0].dataset_name == "inbreast_malignant_train"
    config = load_config(str(FOLDER / "inbreast_folds" / "source_only.py"), ["datasets.fold=3"])
    assert config.dataloader.train.dataset == "inbreast_lesion_fold3_train"
    assert config.dataloader.test.dataset == "inbreast_lesion_fold3_test"


@pytest.fixture(scope="module")
def workplace(all_datasets, tmp_path_factory, make_expert_store):
    """A folder with all data sets, expert stores and checkpoints that the configs name."""
    folder = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DETECTRON2_DATASETS", str(all_datasets))
        for path in FILES:
            config = load_config(str(path))
            start = config.train.init_checkpoint
            if start and "://" not in start:
                Path(start).parent.mkdir(parents=True, exist_ok=True)
                Path(start).touch()
            if "expert_distillation" in config.get("loss_hooks", {}):
                for store in config.loss_hooks.expert_distillation.stores:
                    if not Path(store).exists():
                        make_expert_store(store, dataset=Path(store).name, dim=16)
        for store in ("phantom_film_test", "imagenet/phantom_film_train"):  # of plans
            folder_of_store = Path("output/experts") / store
            make_expert_store(
                folder_of_store, dataset=folder_of_store.name, dim=16, patch_grid=(8, 6)
            )
        yield folder


@pytest.fixture(scope="module")
def model_of():
    """Builds the model of a config, without loss hooks; configs of the same model share it."""
    models = {}

    def build(config):
        key = OmegaConf.to_yaml(config.model, resolve=True)
        if key not in models:
            models[key] = build_model(config)
        models[key].training_modules.clear()
        return models[key]

    return build


def test_every_benchmark_of_the_design_is_there():
    in_domain = {"source_only", "cross_domain", "expert"}
    adaptation = {"source_only", "cross_domain", "teaching"}
    aligned = adaptation | {"alignment"}
    weak = aligned | {"image_labels"}
    stages = {
        "ddsm": in_domain,
        "inbreast": in_domain,
        "rsna_bsd1k": in_domain,
        "ddsm2inbreast": in_domain | weak,
        "ddsm2rsna": in_domain | weak,
        "phantom2ffdm": in_domain | weak,
        "city2foggy": adaptation,
        "sim2city": adaptation,
        "city2bdd": adaptation,
        "phantom": {"source_only"},
        "mias2inbreast": in_domain | weak | {"control", "control_strong"},
        "inbreast2mias": in_domain | aligned | {"control", "control_strong"},
        "inbreast_folds": {"source_only"},
    }
    for benchmark, names in stages.items():
        assert names <= {path.stem for path in (FOLDER / benchmark).glob("*.py")}, benchmark


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_run_of_a_config_can_start(workplace, model_of, path):
    config = load_config(str(path), ["train.device=cpu"])
    check_run(config)
    check_classes(config)
    max_iter = config.train.max_iter

    trainer = build_trainer(config, model_of(config))
    hooks = {name for name, hook in (config.get("loss_hooks") or {}).items() if hook is not None}
    modules = set(trainer.detector.training_modules)
    assert modules == {HOOKS[name] for name in hooks if name in HOOKS}
    for hook in trainer.loss_hooks:
        hook.set_run_length(max_iter)

    # One sample of each loader, as its mapper makes it.
    sample = trainer.loader.stream[0]
    assert "instances" in sample
    for hook in trainer.loss_hooks:
        if hook.loader is not None:
            assert hook.loader.stream[0]["image"].shape[0] == 3
    assert "image" in next(iter(instantiate({**config.dataloader.test, "num_workers": 0})))[0]

    assert config.train.output_dir == f"output/{name_of(path)}"
    start = config.train.init_checkpoint
    if start and "://" not in start:
        before = Path(start).parent
        assert (FOLDER / before.relative_to("output")).with_suffix(".py") in FILES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_parameters_learn_at_the_rates_that_the_config_means(workplace, model_of, path):
    config = load_config(str(path), ["train.device=cpu"])
    model = model_of(config)
    optimizer = build_trainer(config, model).optimizer
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    factors = dict(config.optimizer.params.lr_factors)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in rates
            continue
        parts = [part for part in factors if part != "backbone" and f".{part}." in name]
        parts += ["backbone"] if name.startswith("backbone.") and "backbone" in factors else []
        factor = factors[parts[0]] if parts else 1
        assert rates[id(parameter)] == pytest.approx(config.optimizer.lr * factor)
    if path.parent.name not in REAL:
        assert {factors[part] for part in factors if part not in FRESH_DECODERS} == {0.1}
    names = {name: p for name, p in model.named_parameters() if "discriminators.backbone." in name}
    assert all(rates[id(p)] == config.optimizer.lr for p in names.values())
    with_discriminators = ("alignment", "teaching", "masked_retraining_teacher")
    assert bool(names) == (path.stem in with_discriminators)


def test_two_stage_detector_has_no_use_for_the_rate_of_reference_points():
    options = ["train.device=cpu", "model.transformer.two_stage=True"]
    config = load_config(str(FOLDER / "ddsm" / "source_only.py"), options)
    config.optimizer.params.model = build_model(config)
    assert len(instantiate(config.optimizer).param_groups) == 2
    config.optimizer.params.lr_factors.reference_point = 0.1
    with pytest.raises(InputError, match=r"lr_factors\.reference_point is for no parameter"):
        instantiate(config.optimizer)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_learning_rate_of_a_run(path):
    config = load_config(str(path))
    schedule = instantiate(config.lr_multiplier)
    bound_to_run(schedule, config.train.max_iter)
    if is_for_two_cores(path):
        values = [schedule(where) for where in (0.05, 0.5, 0.79, 0.81, 0.999, 1.0)]
        assert values == sorted(values, reverse=True)
        assert values[0] > 0.99
        assert values[-1] == pytest.approx(0.01)
    else:
        expected = OTHER_SCHEDULES.get(name_of(path), TENTH_FOR_THE_LAST_FIFTH)
        assert {where: schedule(where) for where in expected} == expected


@dataclass(frozen=True)
class Recipe:
    """Published settings of teaching, in epochs of so many images, eight an iteration."""

    lr: float
    epochs: int
    masked: int
    retraining: int
    scale: float
    highest: float
    teach_boxes: bool
    images: int | None = None


D_MASTER = Recipe(
    2e-5, epochs=20, masked=5, retraining=10, scale=0.9, highest=0.6, teach_boxes=True
)
MRT = replace(D_MASTER, images=2975)
TEACHING_RECIPES = {
    "ddsm2inbreast": D_MASTER,
    "ddsm2rsna": D_MASTER,
    "city2bdd": MRT,
    "city2foggy": replace(
        MRT,
        lr=2e-4,
        epochs=80,
        masked=10,
        retraining=40,
        scale=0.5,
        highest=0.45,
        teach_boxes=False,
    ),
    "sim2city": replace(MRT, lr=2e-4, masked=10, scale=0.5, highest=0.5),
}


@pytest.mark.parametrize("benchmark", TEACHING_RECIPES)
def test_teaching_follows_the_published_recipe(benchmark):
    recipe = TEACHING_RECIPES[benchmark]
    config = load_config(str(FOLDER / benchmark / "teaching.py"))
    hooks = config.loss_hooks
    assert config.train.clip_gradient_norm == 0.5
    assert config.optimizer.lr == recipe.lr
    assert config.model.transformer.dropout == 0
    assert hooks.masked_autoencoder.duration == recipe.masked / recipe.epochs
    assert hooks.selective_retraining.period == recipe.retraining / recipe.epochs
    threshold = hooks.teacher.threshold
    assert threshold.update_period == 1 / recipe.epochs
    assert (threshold.scale, threshold.highest) == (recipe.scale, recipe.highest)
    assert (threshold.momentum, threshold.lowest, threshold.initial) == (0.9, 0.25, 0.3)
    assert hooks.teacher.teach_boxes == recipe.teach_boxes
    assert hooks.teacher.ema_decay == 0.9996
    if recipe.images is not None:
        epoch = recipe.images / config.dataloader.train.total_batch_size
        assert config.train.max_iter == pytest.approx(recipe.epochs * epoch, rel=0.01)


@pytest.mark.parametrize("benchmark", ["phantom2ffdm", "mias2inbreast", "inbreast2mias"])
def test_short_teaching_has_thresholds_of_mrt_and_all_of_it_retrains_within_the_run(benchmark):
    for page, loss_weight in (("teaching", 0.1), ("masked_retraining_teacher", 1.0)):
        config = load_config(str(FOLDER / benchmark / f"{page}.py"))
        teacher = config.loss_hooks.teacher
        assert (teacher.teach_boxes, teacher.threshold.scale, teacher.threshold.highest) == (
            False,
            0.5,
            0.45,
        )
        assert teacher.loss_weight == loss_weight
    hook = instantiate(config.loss_hooks.selective_retraining)
    hook.set_run_length(config.train.max_iter)  # refuses what would never act


@pytest.mark.parametrize("benchmark", ["phantom2ffdm", "mias2inbreast", "inbreast2mias"])
def test_teaching_adds_a_teacher_to_alignment_alone(benchmark):
    aligned, taught, all_of_mrt = (
        load_config(str(FOLDER / benchmark / f"{page}.py"))
        for page in ("alignment", "teaching", "masked_retraining_teacher")
    )
    assert set(taught.loss_hooks) - set(aligned.loss_hooks) == {"teacher"}
    assert set(all_of_mrt.loss_hooks) - set(taught.loss_hooks) == {
        "masked_autoencoder",
        "selective_retraining",
    }
    for key in ("optimizer", "model", "lr_multiplier", "dataloader.train"):
        assert OmegaConf.select(taught, key) == OmegaConf.select(aligned, key)
    assert taught.train.init_checkpoint == aligned.train.init_checkpoint


TEACHING = "ddsm2inbreast/teaching.py"
MASKED = "city2foggy/cross_domain.py"
LOSS_DRIVEN = (
    "loss_hooks.masked_autoencoder.mask_ratio._target_=medmask.stages.masked_autoencoding.LossDrivenMaskRatio",
    "+loss_hooks.masked_autoencoder.mask_ratio.step=0.1",
)


@pytest.mark.parametrize(
    ("file", "key", "longest", "options"),
    [
        (TEACHING, "loss_hooks.selective_retraining.period", 99, ()),
        (TEACHING, "loss_hooks.masked_autoencoder.duration", 99, ()),
        (TEACHING, "loss_hooks.teacher.threshold.update_period", 99, ()),
        (MASKED, "loss_hooks.masked_autoencoder.picture_period", 100, ()),
        (MASKED, "loss_hooks.masked_autoencoder.mask_ratio.period", 49, LOSS_DRIVEN),
    ],
)
def test_hook_that_could_not_act_is_refused_by_its_key(
    workplace, model_of, file, key, longest, options
):
    def set_run_length(period):
        config = load_config(str(FOLDER / file), ["train.device=cpu", *options])
        OmegaConf.update(config, key, period)
        for hook in build_trainer(config, model_of(config)).loss_hooks:
            hook.set_run_length(100)

    set_run_length(longest)
    with pytest.raises(InputError, match=rf"^{key} is {longest + 1} iterations.* 100 "):
        set_run_length(longest + 1)


@pytest.mark.parametrize("path", PLANS, ids=name_of)
def test_plan_can_be_read(path):
    assert load_comparison(path).test_dataset in DatasetCatalog.list()


@pytest.mark.parametrize("path", PLANS, ids=name_of)
def test_every_row_of_a_plan_can_start(workplace, model_of, path):
    # a fraction of the few patients of this test has no lesion
    settings = ["train.device=cpu", "dataloader.train.label_fraction=1.0"]
    for run in load_comparison(path).runs:
        config = load_config(str(run.config), [*run.options, *settings])
        check_run(config)
        hooks = build_trainer(config, model_of(config)).loss_hooks
        for hook in hooks:
            hook.set_run_length(config.train.max_iter)
        models = {"model", *(name for hook in hooks for name in hook.extra_models())}
        assert run.model in models, run.name


@pytest.mark.parametrize("benchmark", ["phantom2ffdm", "mias2inbreast"])
def test_ablation_leaves_each_part_out_and_adds_what_is_off(benchmark):
    runs = load_comparison(FOLDER / f"{benchmark}_ablation" / "benchmark.py").runs
    hooks = {
        run.name: load_config(str(run.config), run.options).get("loss_hooks") or {} for run in runs
    }
    whole = hooks["masked_retraining_teacher"]
    parts = {name for name, hook in whole.items() if hook is not None}
    for row, missing in (
        ("without_discriminators", "domain_adversarial"),
        ("without_masked_autoencoding", "masked_autoencoder"),
        ("without_retraining", "selective_retraining"),
    ):
        assert {name for name, hook in hooks[row].items() if hook is not None} == parts - {missing}
    controls = {run.name: run.controls for run in runs}
    for row in ("pseudo_boxes_alone", "copy_paste_alone"):  # which have pseudo labels, too
        assert controls[row] == ("pseudo_labels_alone", "control_strong")
    assert whole.teacher.copy_paste is None
    assert hooks["with_copy_paste"].teacher.copy_paste is not None
    assert hooks["with_pseudo_boxes"].teacher.teach_boxes
    assert hooks["without_ema"].teacher.ema_decay == 0
    assert hooks["without_pseudo_labels"].teacher.loss_weight == 0


def test_page_of_a_benchmark_of_ones_own_works_as_the_readme_says(
    coco_content, write_tree, tmp_path
):
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for split in ("train", "val"):
        json_file, image_root = write_tree(coco_content, f"{split}.json")
    example = example.replace("/data/mine/images", str(image_root))
    example = example.replace("/data/mine", str(Path(json_file).parent))
    shutil.copytree(FOLDER.parent, tmp_path / "configs")
    page = tmp_path / "configs" / "medmask" / "mine" / "source_only.py"
    page.parent.mkdir()
    page.write_text(example)
    try:
        config = load_config(str(page), ["train.device=cpu", "train.init_checkpoint=''"])
        check_run(config)
        assert "instances" in instantiate(config.dataloader.train).stream[0]
    finally:
        for name in ("mine_train", "mine_val"):
            if name in DatasetCatalog:
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)


def test_a_benchmark_is_another_by_its_data_sets_alone(workplace):
    overrides = ["datasets.train=inbreast_train", "datasets.unlabeled=ddsm_train"]
    config = load_config(str(FOLDER / "ddsm2inbreast" / "teaching.py"), overrides)
    assert config.dataloader.train.dataset == "inbreast_train"
    assert config.loss_hooks.masked_autoencoder.loader.dataset == "ddsm_train"
    assert config.loss_hooks.teacher.loader.dataset == "ddsm_train"
