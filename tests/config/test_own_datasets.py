"""Data sets of the user's own go from a .py config through config.yaml to all that reads it."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from medmask.commands import predict
from medmask.config.difference import config_differences
from medmask.config.loading import REQUIRED, load_any_config, load_config
from medmask.config.own_datasets import register_own_datasets, with_own_datasets
from medmask.config.yaml_files import write_config_yaml
from medmask.data import register_coco_dataset
from medmask.errors import InputError

NAME = "own_set_of_größe_1"


@pytest.fixture
def forget():
    """Unregisters the set, as another process would start."""

    def remove():
        if NAME in DatasetCatalog:
            DatasetCatalog.remove(NAME)
            MetadataCatalog.remove(NAME)

    yield remove
    remove()


@pytest.fixture
def files(coco_content, write_tree):
    coco_content["categories"] = [{"id": 9, "name": "mass"}, {"id": 7, "name": "Größe"}]
    return write_tree(coco_content)


@pytest.fixture
def config_file(files, forget, tmp_path):
    """A config.yaml of a config that registers a set and refers to its name."""
    register_coco_dataset(NAME, *files)
    page = {"datasets": {"test": NAME, "train": "inbreast_train"}, "test": "${datasets.test}"}
    path = tmp_path / "config.yaml"
    write_config_yaml(with_own_datasets(OmegaConf.create(page | {"open": "???"})), path)
    forget()
    return path


def test_config_yaml_registers_what_the_config_registered(config_file, files):
    config = load_any_config(config_file)
    assert list(config.own_datasets) == [NAME]  # and no set of the project
    assert len(DatasetCatalog.get(NAME)) == 3
    metadata = MetadataCatalog.get(NAME)
    assert (metadata.json_file, metadata.image_root) == tuple(map(str, files))
    assert metadata.thing_classes == ["Größe", "mass"]
    load_any_config(config_file)  # again


def test_classes_outlive_the_annotation_file(config_file, files):
    files[0].unlink()
    load_any_config(config_file)
    assert MetadataCatalog.get(NAME).thing_classes == ["Größe", "mass"]


def test_call_of_a_config_goes_before(config_file, files):
    register_coco_dataset(NAME, *files, ["mass"])
    load_any_config(config_file)
    assert MetadataCatalog.get(NAME).thing_classes == ["mass"]


def test_config_keeps_no_set_that_it_no_longer_names(config_file):
    config = load_any_config(config_file)
    config.datasets.test = "inbreast_val"
    assert "own_datasets" not in with_own_datasets(config)


def test_overrides_of_paths_count(files, tmp_path):
    name, path = "own_set_that_moved", tmp_path / "config.yaml"
    described = {"json_file": "/gone.json", "image_root": str(files[1]), "thing_classes": None}
    parts = {part: {} for part in REQUIRED}
    OmegaConf.save(OmegaConf.create(parts | {"own_datasets": {name: described}}), path)
    load_config(path, [f"own_datasets.{name}.json_file={files[0]}"])
    try:
        assert MetadataCatalog.get(name).json_file == str(files[0])
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_run_is_resumed_with_sets_that_have_moved(config_file):
    before = load_any_config(config_file)
    now = before.copy()
    now.own_datasets = {NAME: {"json_file": "elsewhere.json"}}
    assert config_differences(before, now) == []
    del now["own_datasets"]  # as of a .py config
    assert config_differences(before, now) == []


SET = {"json_file": "/a.json", "image_root": "/a", "thing_classes": None}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (7, "own_datasets must be a group of data sets"),
        ({3: SET}, "own_datasets has the name 3, but names must be text"),
        ({NAME: 7}, "must have the keys json_file, image_root, thing_classes, and no others"),
        ({NAME: SET | {"code": "x"}}, "and no others"),
        ({NAME: SET | {"image_root": 3}}, "json_file and image_root must be paths"),
        ({NAME: SET | {"thing_classes": 3}}, "the classes must be a list of names"),
        ({"inbreast_val": SET}, "own_datasets.inbreast_val cannot be registered: .* already"),
    ],
)
def test_faulty_descriptions_are_refused(content, words, forget):
    with pytest.raises(InputError, match=f"run/config.yaml: .*{words}"):
        register_own_datasets(OmegaConf.create({"own_datasets": content}), "run/config.yaml")


def test_set_of_other_files_under_the_same_name_is_refused(config_file, tmp_path):
    register_coco_dataset(NAME, tmp_path / "other.json", tmp_path)
    with pytest.raises(InputError, match=rf"own_datasets\.{NAME} is .*, but here .*other\.json"):
        load_any_config(config_file)


def test_predict_knows_the_set_of_the_weights(config_file, tmp_path, capsys):
    """It gets as far as the weights."""
    (tmp_path / "model.pth").write_bytes(b"none")
    with pytest.raises(SystemExit) as end:
        predict.main(
            ["--dataset", NAME, "--checkpoint", str(tmp_path / "model.pth"), "--output", "out"]
        )
    assert end.value.code == 2
    assert "defines no model" in capsys.readouterr().err
