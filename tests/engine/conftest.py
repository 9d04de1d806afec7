"""A small detector in a real training loop, on images that are a function of their position."""

import copy

import pytest
import torch
from detectron2.structures import Boxes, Instances

from medmask.engine import MedMaskTrainer
from medmask.modeling import DomainDiscriminators

HEIGHT, WIDTH = 64, 96
BOX = [5.0, 10.0, 30.0, 40.0]


class Loader:
    """Endless batches of two random images with one box each; the second image is narrower.

    As pairs, the strong view is the negative of the weak one.
    """

    def __init__(self, seed, as_pairs=False):
        self.seed = seed
        self.as_pairs = as_pairs

    def iterate_from(self, iteration):
        while True:
            yield [self.sample(iteration, WIDTH), self.sample(iteration, WIDTH // 2)]
            iteration += 1

    def sample(self, iteration, width):
        generator = torch.Generator().manual_seed(1000 * iteration + width + self.seed)
        image = torch.randint(0, 256, (3, HEIGHT, width), dtype=torch.uint8, generator=generator)
        instances = Instances((HEIGHT, width))
        instances.gt_boxes = Boxes(torch.tensor([BOX]))
        instances.gt_classes = torch.zeros(1, dtype=torch.int64)
        views = {"strong_image": 255 - image} if self.as_pairs else {}
        return {"image": image, "instances": instances, **views}


@pytest.fixture
def pairs():
    """A loader of unlabelled images, whose labels were held back for the log."""
    return Loader(seed=500, as_pairs=True)


@pytest.fixture
def make_detector(make_model):
    """Builds the small detector with discriminators; the weights are those of the seed."""

    def make(seed=0):
        torch.manual_seed(seed)
        model = make_model(dropout=0.1)
        model.training_modules["discriminators"] = DomainDiscriminators(
            backbone_channels=96, embed_dim=64, num_levels=3
        )
        return model

    return make


@pytest.fixture
def make_trainer():
    """Builds a trainer of a detector with loss hooks."""

    def make(detector, *hooks, lr=1e-3, **options):
        optimizer = torch.optim.AdamW(detector.parameters(), lr=lr)
        return MedMaskTrainer(
            detector,
            Loader(seed=0),
            optimizer,
            clip_gradient_norm=1.0,
            loss_hooks=hooks,
            **options,
        )

    return make


class Killed(Exception):
    pass


@pytest.fixture
def check_resume(make_detector, make_trainer):
    """Trains without and with a stop; the weights and the hooks' states must be the same."""

    def train(hooks, start, max_iter, state=None, kill_at=None):
        detector = make_detector(seed=start)  # which a resumed run must not depend on
        trainer = make_trainer(detector, *hooks)
        torch.manual_seed(7)
        if state is not None:
            detector.load_state_dict(state["model"])
            trainer.optimizer.load_state_dict(state["optimizer"])
            trainer.load_state_dict(state["trainer"])
            torch.set_rng_state(state["generator"])
        if kill_at is None:
            trainer.train(start, max_iter)
        else:
            before_step = trainer.before_step
            trainer.before_step = lambda: die() if trainer.iter == kill_at else before_step()
            with pytest.raises(Killed):
                trainer.train(start, max_iter)
            trainer.iter -= 1  # the last that was finished
        return copy.deepcopy(
            {
                "model": detector.state_dict(),
                "optimizer": trainer.optimizer.state_dict(),
                "trainer": trainer.state_dict(),
                "generator": torch.get_rng_state(),
            }
        )

    def die():
        raise Killed

    def check(make_hooks, stop_at, max_iter):
        whole = train(make_hooks(), 0, max_iter)
        first = train(make_hooks(), 0, max_iter, kill_at=stop_at)
        second = train(make_hooks(), stop_at, max_iter, first)
        torch.testing.assert_close(second, whole, rtol=0, atol=0, equal_nan=True)

    return check
