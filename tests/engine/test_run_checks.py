from unittest import mock

import pytest
from omegaconf import OmegaConf

from medmask.engine import RunMode
from medmask.engine.run_checks import check_classes, check_images
from medmask.errors import InputError


def config_of(num_classes=1, **datasets):
    """The keys that the check looks at; data sets of train, test and a loss hook's loader."""
    names = {"train": "ddsm_train", "test": "inbreast_val", "target": "inbreast_train", **datasets}
    return OmegaConf.create(
        {
            "model": {"transformer": {"num_classes": num_classes}},
            "dataloader": {x: {"dataset": names[x]} for x in ("train", "test")},
            "loss_hooks": {
                "teacher": {"loader": {"dataset": names["target"]}},
                "selective_retraining": {"period": 0.5},
            },
        }
    )


def test_model_that_fits_all_data_sets_passes():
    check_classes(config_of())
    both = ["cityscapes_train", "cityscapes_val"]
    check_classes(config_of(num_classes=8, train=both, test=both, target=both))
    check_classes(OmegaConf.create({"model": {}, "dataloader": {"test": {"dataset": "ddsm_val"}}}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_classes": 2}, r"dataloader\.test\.dataset is inbreast_val, which has 1 class "),
        ({"train": "cityscapes_train"}, r"dataloader\.train\.dataset is cityscapes_train.* 8"),
        ({"test": ["ddsm_val", "bdd100k_daytime_val"]}, r"test\.dataset is bdd100k_daytime_val"),
        ({"target": "cityscapes_val"}, r"loss_hooks\.teacher\.loader\.dataset is cityscapes_val"),
    ],
)
def test_other_number_of_classes_names_key_data_set_and_numbers(options, words):
    with pytest.raises(InputError, match=words) as caught:
        check_classes(config_of(**options))
    assert "model.transformer.num_classes is" in str(caught.value)


def test_images_that_are_taken_without_boxes_may_be_of_any_classes():
    config = config_of(target="cityscapes_train")
    config.loss_hooks.teacher.loader.mapper = {"with_boxes": False}
    check_classes(config)
    config.dataloader.test = {"dataset": "cityscapes_val", "mapper": {"with_boxes": False}}
    with pytest.raises(InputError, match=r"dataloader\.test\.dataset is cityscapes_val"):
        check_classes(config)


def test_evaluation_asks_for_the_test_set_alone():
    config = config_of(train="cityscapes_train", target="cityscapes_train")
    check_classes(config, is_training=False)
    with pytest.raises(InputError, match="test"):
        check_classes(config_of(test="cityscapes_val"), is_training=False)


@pytest.mark.parametrize(
    ("mode", "adapt_to", "expected"),
    [
        (RunMode.NEW, None, ["inbreast_val", "ddsm_train", "inbreast_train"]),
        (RunMode.EVALUATE, None, ["inbreast_val"]),
        (RunMode.EVALUATE, "rsna_train", ["inbreast_val", "rsna_train"]),
    ],
)
def test_images_of_the_sets_that_the_run_reads_are_checked(mode, adapt_to, expected):
    config = config_of()
    config.dataloader.train.num_workers = 0
    module = "medmask.engine.run_checks"
    with (
        mock.patch(f"{module}.load_dataset_dicts", lambda name: [{"file_name": name}]),
        mock.patch(f"{module}.find_broken_images", return_value=[]) as find,
    ):
        check_images(config, mode, adapt_to)
    assert [record["file_name"] for record in find.call_args.args[0]] == expected
    assert find.call_args.kwargs == {"apply_voi": True}


def test_images_are_checked_with_the_window_that_they_are_read_with():
    config = config_of(test="ddsm_train")
    config.dataloader.train.num_workers = 0
    mapper = {
        "augmentation": {"_target_": "medmask.data.build_train_augmentation", "breast_window": True}
    }
    config.dataloader.train.mapper = config.loss_hooks.teacher.loader.mapper = mapper
    module = "medmask.engine.run_checks"
    with (
        mock.patch(f"{module}.load_dataset_dicts", lambda name: [{"file_name": name}]),
        mock.patch(f"{module}.find_broken_images", return_value=["it is broken"]) as find,
        pytest.raises(InputError, match=r"^1 image is broken:\nit is broken$"),
    ):
        check_images(config)
    read = {
        call.kwargs["apply_voi"]: [record["file_name"] for record in call.args[0]]
        for call in find.call_args_list
    }
    assert read == {True: ["ddsm_train"], False: ["ddsm_train", "inbreast_train"]}
