"""Pictures that a run draws."""

import cv2
import pytest
import torch
from detectron2.engine import HookBase
from masked_training import Loader, assert_same_weights, make_model, make_trainer

from medmask.errors import InputError


def test_pictures_are_written_and_disturb_nothing(tmp_path):
    """Weights, statistics of BatchNorm, masks and dropout are those of a run without pictures."""
    with_pictures, without = make_model(), make_model()
    for model, period in ((with_pictures, 2), (without, None)):
        torch.manual_seed(7)
        trainer, _ = make_trainer(
            model, picture_period=period, num_pictured=3, output_dir=str(tmp_path)
        )
        trainer.train(0, 5)
        if period is not None:
            ((name, picture, _), *_) = trainer.storage._vis_data
            assert name == "reconstruction"
            assert picture.shape[0] == 3
    assert_same_weights(with_pictures, without)
    paths = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in paths] == [
        f"reconstruction_{iteration:07}.png" for iteration in (2, 4, 5)
    ]
    picture = cv2.imread(str(paths[0]))
    assert picture.shape[0] > 3 * 64
    assert picture.shape[1] > 3 * 96


def test_picture_that_cannot_be_drawn_ends_the_run_after_a_complete_step(tmp_path, monkeypatch):
    """So that what was done is saved, and other processes end, too."""

    class Stream:
        def __getitem__(self, position):
            raise InputError("an image is gone")

    class Later(HookBase):
        def after_step(self):
            completed.append(self.trainer.iter)

    completed = []
    trainer, _ = make_trainer(make_model(), picture_period=2, output_dir=str(tmp_path))
    trainer.register_hooks([Later()])
    monkeypatch.setattr(Loader, "stream", Stream())
    with pytest.raises(InputError, match="an image is gone"):
        trainer.train(0, 4)
    assert completed == [0, 1]


def test_period_zero_draws_at_the_end_only(tmp_path):
    trainer, _ = make_trainer(make_model(), picture_period=0, output_dir=str(tmp_path))
    trainer.train(0, 3)
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "reconstruction_0000003.png"


def test_last_picture_is_that_of_the_last_iteration_with_masked_autoencoding(tmp_path):
    trainer, _ = make_trainer(
        make_model(), duration=2, picture_period=0, output_dir=str(tmp_path), num_pictured=1
    )
    trainer.train(0, 3)
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "reconstruction_0000002.png"
