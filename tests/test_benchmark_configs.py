"""Every file in configs/medmask describes a run that can start once its data is there."""

from pathlib import Path

import pytest
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from medmask.engine import load_benchmark, load_config
from medmask.modeling.masked_autoencoding_objective import find_masked_autoencoder

FOLDER = Path(__file__).parents[1] / "configs" / "medmask"
PLANS = sorted(FOLDER.glob("*/benchmark.py"))
FILES = sorted(set(FOLDER.glob("*/*.py")) - set(PLANS))
HOOKS = {
    "masked_autoencoder": "masked_autoencoder",
    "expert_distillation": "expert_distillation",
    "domain_adversarial": "discriminators",
}
"""a loss hook and the part of the model that it trains"""


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def test_every_benchmark_of_the_design_is_there():
    in_domain = {"source_only", "cross_domain", "expert"}
    adaptation = {"source_only", "cross_domain", "teaching"}
    stages = {
        "ddsm": in_domain,
        "inbreast": in_domain,
        "rsna_bsd1k": in_domain,
        "ddsm2inbreast": in_domain | adaptation,
        "ddsm2rsna": in_domain | adaptation,
        "phantom2ffdm": in_domain | adaptation,
        "city2foggy": adaptation,
        "sim2city": adaptation,
        "city2bdd": adaptation,
        "phantom": {"source_only"},
    }
    for benchmark, names in stages.items():
        assert names <= {path.stem for path in (FOLDER / benchmark).glob("*.py")}, benchmark


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_config_names_known_data_its_own_folder_and_the_parts_its_hooks_train(path):
    config = load_config(str(path))
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)

    hooks = config.get("loss_hooks", {})
    train = [config.dataloader.train, *(h.loader for h in hooks.values() if "loader" in h)]
    names = [loader.dataset for loader in (*train, config.dataloader.test)]
    assert set(names) <= set(DatasetCatalog.list())
    classes = {name: MetadataCatalog.get(name).thing_classes for name in names}
    assert all(len(c) == config.model.transformer.num_classes for c in classes.values()), classes
    assert len({tuple(c) for c in classes.values()}) == 1

    assert config.train.output_dir == f"output/{name_of(path)}"
    start = config.train.init_checkpoint
    if start and "://" not in start:
        before = Path(start).parent
        assert (FOLDER / before.relative_to("output")).with_suffix(".py") in FILES
    modules = config.model.get("training_modules", {})
    for hook in hooks:
        assert HOOKS.get(hook, hook) in {*modules, "teacher", "selective_retraining"}


@pytest.mark.parametrize("name", ["ddsm2inbreast", "city2foggy", "phantom2ffdm"])
def test_teaching_detector_can_be_built(name):
    config = load_config(str(FOLDER / name / "teaching.py"))
    model = instantiate(config.model)
    assert set(model.training_modules) == {"masked_autoencoder", "discriminators"}
    find_masked_autoencoder(model)


@pytest.mark.parametrize("path", PLANS, ids=name_of)
def test_plan_can_be_read(path):
    assert load_benchmark(path).test_dataset in DatasetCatalog.list()
