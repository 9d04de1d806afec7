from types import SimpleNamespace

import pytest
import torch
from detectron2.structures import BoxMode
from training_fixtures import BOX, HEIGHT, WIDTH, Loader

from medmask.data import LesionMapDrawer
from medmask.data.outlines import LESION
from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.stages.masks import LesionMaskHook

NAMES = {"loss_mask_cross_entropy", "loss_mask_dice"}
SQUARE = [5, 10, 30, 10, 30, 40, 5, 40]


class OutlinedLoader(Loader):
    """Bright squares at places of their own, with their maps."""

    def __init__(self, segmentation=SQUARE, drawer=None):
        super().__init__(seed=0)
        annotations = [{"bbox": BOX, "bbox_mode": BoxMode.XYXY_ABS, "segmentation": segmentation}]
        self.stream = SimpleNamespace(
            mapper=SimpleNamespace(lesion_map=drawer or LesionMapDrawer()),
            dataset_dicts=[{"annotations": annotations}],
        )

    def sample(self, iteration, width):
        sample = super().sample(iteration, width)
        generator = torch.Generator().manual_seed(iteration + width)
        x, y = torch.randint(0, 24, (2,), generator=generator).tolist()
        sample["image"] = sample["image"] // 2
        sample["image"][:, y : y + 24, x : x + 24] = 255
        sample["instances"].gt_boxes.tensor[0] = torch.tensor([x, y, x + 24, y + 24])
        sample["lesion_map"] = torch.zeros(HEIGHT, width, dtype=torch.uint8)
        sample["lesion_map"][y : y + 24, x : x + 24] = LESION
        return sample


@pytest.fixture
def make_mask_trainer(make_detector, make_trainer):
    def make(loader=None, hook=None, **options):
        trainer = make_trainer(make_detector(), hook or make_hook(), **options)
        trainer.loader = loader or OutlinedLoader()
        return trainer

    return make


def make_hook(**options):
    return LesionMaskHook(**{"channels": 16, **options})


def held_out(first, count):
    loader = OutlinedLoader()
    for i in range(first, first + count):
        sample = loader.sample(i, WIDTH)
        x0, y0, x1, y1 = sample["instances"].gt_boxes.tensor[0].tolist()
        sample["annotations"] = [
            {
                "bbox": [x0, y0, x1, y1],
                "bbox_mode": BoxMode.XYXY_ABS,
                "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            }
        ]
        size = {"height": HEIGHT, "width": WIDTH, "file_name": f"{i}.png"}
        yield sample | size | {"to_original": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))}


@pytest.mark.parametrize("stride", [8, 4, 2])
@pytest.mark.parametrize("num_levels", [1, 3])
def test_every_parameter_takes_part_in_every_iteration(make_mask_trainer, stride, num_levels):
    """Also with no lesion, or nothing that counts, as distributed training asks for."""
    trainer = make_mask_trainer(hook=make_hook(stride=stride, num_levels=num_levels))
    (hook,) = trainer.loss_hooks
    trainer.detector.train()
    for value in (None, 0, 1):
        batch = next(OutlinedLoader().iterate_from(0))
        for sample in batch if value is not None else ():
            sample["lesion_map"].fill_(value)
        losses = hook.output_losses(trainer.detector.supervised_step(batch))
        assert losses.keys() == NAMES
        trainer.detector.zero_grad()
        sum(losses.values()).backward()
        gradients = [p.grad for p in hook.module.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        assert (sum(g.abs().sum() for g in gradients) > 0) == (value != 1)
        encoder = trainer.detector.transformer.encoder.parameters()
        assert (sum(p.grad.abs().sum() for p in encoder) > 0) == (value != 1)


def test_detection_is_as_without_the_hook(make_detector, make_mask_trainer):
    with_hook = make_mask_trainer().detector.eval()
    without = make_detector().eval()
    without.load_state_dict(
        {k: v for k, v in with_hook.state_dict().items() if "training_modules" not in k}
    )
    batch = next(OutlinedLoader().iterate_from(0))
    for mine, theirs in zip(with_hook(batch), without(batch), strict=True):
        assert torch.equal(mine["instances"].scores, theirs["instances"].scores)


def test_masks_of_held_out_images_beat_the_constant_after_training(make_mask_trainer):
    trainer = make_mask_trainer(lr=3e-3)
    (hook,) = trainer.loss_hooks
    hook.before_train()
    before = hook.measure_learning(held_out(1000, 10))["masks/dice"]
    assert before == hook.measure_learning(held_out(1000, 10))["masks/dice"]
    trainer.train(0, 60)
    after = hook.measure_learning(held_out(1000, 10))["masks/dice"]
    assert not before.beats_constant
    assert after.beats_constant
    assert after.value > 0.8


def test_held_out_images_without_lesions_are_not_measured(make_mask_trainer, caplog):
    trainer = make_mask_trainer()
    (hook,) = trainer.loss_hooks
    hook.before_train()
    samples = [sample | {"annotations": []} for sample in held_out(0, 2)]
    with caplog.at_level("INFO"):
        assert hook.measure_learning(samples) == {}
    assert "not measured" in caplog.text


def test_resumed_run_repeats_the_whole_run(check_resume, monkeypatch):
    monkeypatch.setattr("training_fixtures.Loader", lambda seed: OutlinedLoader())
    check_resume(lambda: [make_hook()], 1, max_iter=3)


def test_target_images_teach_nothing(make_mask_trainer):
    trainer = make_mask_trainer()
    batch = next(Loader(seed=0).iterate_from(0))
    step = trainer.detector.supervised_step(batch, domain=Domain.TARGET)
    assert trainer.loss_hooks[0].output_losses(step) == {}


def test_weight_is_a_factor(make_mask_trainer):
    trainer = make_mask_trainer()
    (hook,) = trainer.loss_hooks
    step = trainer.detector.supervised_step(next(OutlinedLoader().iterate_from(0)))
    once = hook.output_losses(step)
    hook.weight = 2.5
    for name, loss in hook.output_losses(step).items():
        assert loss.item() == pytest.approx(2.5 * once[name].item())


def test_a_mapper_without_maps_is_refused(make_mask_trainer):
    loader = OutlinedLoader()
    loader.stream.mapper.lesion_map = None
    with pytest.raises(InputError, match=r"dataloader\.train\.mapper\.lesion_map"):
        make_mask_trainer(loader).train(0, 1)


def test_a_set_without_outlines_is_refused_unless_boxes_stand_for_them(make_mask_trainer):
    with pytest.raises(InputError, match=r"no annotation of .* has an outline"):
        make_mask_trainer(OutlinedLoader(segmentation=None)).train(0, 1)
    ellipses = LesionMapDrawer(without_outline="ellipse")
    make_mask_trainer(OutlinedLoader(segmentation=None, drawer=ellipses)).train(0, 1)


def test_pasted_lesions_are_refused(make_mask_trainer):
    trainer = make_mask_trainer()
    trainer.loss_hooks.append(SimpleNamespace(copy_paste=object()))
    with pytest.raises(InputError, match=r"teacher\.copy_paste cannot go with loss_hooks\.masks"):
        trainer.loss_hooks[0].before_train()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 3}, "stride is 3, but must be 8"),
        ({"stride": 16}, "stride is 16, but must be 8"),
        ({"num_levels": 4}, "num_levels is 4, but the encoder has 3"),
        ({"weight": -1}, "weight is -1"),
        ({"channels": 12}, "channels is 12"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_make_no_sense_are_refused(make_detector, options, message):
    with pytest.raises(InputError, match=message):
        make_hook(**options).build(make_detector())
