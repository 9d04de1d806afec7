import copy
import math
from types import SimpleNamespace

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import nn

from medmask.data import Mixup
from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.stages.distillation import InfoNCE
from medmask.stages.distillation.hook import ExpertDistillationHook
from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.loss_hook import LossHook
from medmask.stages.mean_teacher import (
    DynamicThreshold,
    FixedThreshold,
    LesionCopyPaste,
    TeacherHook,
)
from medmask.stages.mean_teacher.ema import make_average, update_average
from medmask.stages.mean_teacher.pseudo_label_metrics import PseudoLabelQuality, count_hits

SUPERVISED = ("loss_class", "loss_box", "loss_giou")


@pytest.fixture
def make_hook(pairs):
    """Builds a teacher that an untrained detector's scores, near 0.01, can reach."""

    def make(value=0.0, **options):
        threshold = FixedThreshold(value=value)
        return TeacherHook(**{"loader": pairs, "threshold": threshold, **options})

    return make


def tensors(model):
    """Parts of a moving average, in float64."""
    return {name: value.double() for name, value in model.state_dict().items()}


class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


def test_average_follows_its_law():
    model = Network()
    average = make_average(model)
    expected = tensors(model)
    for _ in range(20):
        model(torch.randn(4, 1, 6, 6))  # moves the BatchNorm statistics
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        update_average(average, model, decay=0.9)
        for name, value in tensors(model).items():
            expected[name] = 0.9 * expected[name] + 0.1 * value
    actual = tensors(average)
    assert actual.pop("1.num_batches_tracked").item() == 20
    expected.pop("1.num_batches_tracked")
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average[1].running_var, model[1].running_var, atol=1e-2)


def test_average_of_a_constant_model_is_exact():
    model = Network()
    average = make_average(model)
    update_average(average, model, decay=0.9996)
    assert all(torch.equal(v, average.state_dict()[k]) for k, v in model.state_dict().items())


def test_average_is_frozen_and_independent():
    model = Network()
    average = make_average(model)
    assert not average.training
    assert not any(p.requires_grad for p in average.parameters())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        model[0].weight.zero_()
    assert average[0].weight.abs().sum() > 0


def test_teacher_starts_from_the_weights_that_were_loaded(make_detector, make_trainer, make_hook):
    detector = make_detector(seed=1)
    hook = make_hook(ema_decay=0.5)
    trainer = make_trainer(detector, hook)
    detector.load_state_dict(make_detector(seed=2).state_dict())  # as train() loads a checkpoint
    start = tensors(detector)
    trainer.train(0, 1)
    teacher, student = tensors(hook.teacher), tensors(detector)
    for name in start:
        if "num_batches_tracked" not in name:
            expected = (start[name] + student[name]) / 2
            torch.testing.assert_close(teacher[name], expected, msg=name, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(start[name], student[name]) for name in start)


def test_teacher_runs_the_weak_and_the_student_the_strong_view(
    make_detector, make_trainer, make_hook, monkeypatch
):
    hook = make_hook()
    trainer = make_trainer(make_detector(), hook)
    given = {}
    supervised_losses = trainer.supervised_losses

    def spy(batch, domain, *args, **options):
        given[domain.value] = batch
        return supervised_losses(batch, domain, *args, **options)

    monkeypatch.setattr(trainer, "supervised_losses", spy)
    teacher_at_start = copy.deepcopy(trainer.detector).eval()
    trainer.train(0, 1)
    weak = next(hook.loader.iterate_from(0))
    with torch.no_grad():
        detections = teacher_at_start(weak)
    assert len(given["target"]) == 2
    for sample, original, detected in zip(given["target"], weak, detections, strict=True):
        assert torch.equal(sample["image"], 255 - original["image"])
        height, width = original["image"].shape[1:]
        labels = sample["instances"]
        assert labels.image_size == (height, width)
        assert len(labels) > 0
        # not the labels that were held back, but boxes that the teacher's inference gives
        found = detected["instances"].pred_boxes.tensor
        distance = (labels.gt_boxes.tensor[:, None] - found).abs().amax(-1)
        assert distance.amin(1).max() < 1e-3


def test_weight_scales_the_supervised_losses_alone(make_detector, make_trainer, make_hook):
    def losses(weight):
        hooks = make_hook(loss_weight=weight, teach_boxes=True), DomainAdversarialHook()
        trainer = make_trainer(make_detector(), *hooks)
        torch.manual_seed(3)
        trainer.train(0, 1)
        return {name: value for name, (value, _) in trainer.storage.latest().items()}

    full, half = losses(1.0), losses(0.5)
    for name in SUPERVISED:
        for full_name in (name, f"{name}_proposals"):
            assert half[full_name] == pytest.approx(full[full_name])
            assert full[f"{full_name}_target"] > 0
            assert half[f"{full_name}_target"] == pytest.approx(full[f"{full_name}_target"] / 2)
    for name in ("backbone", "encoder", "decoder"):
        for domain in ("", "_target"):
            loss = f"loss_domain_{name}{domain}"
            assert half[loss] == pytest.approx(full[loss])


def test_pseudo_boxes_teach_classes_unless_boxes_are_asked_for(
    make_detector, make_trainer, make_hook
):
    def losses(**options):
        trainer = make_trainer(make_detector(), make_hook(**options))
        torch.manual_seed(3)
        trainer.train(0, 1)
        latest = trainer.storage.latest()
        return {name: value for name, (value, _) in latest.items() if name.startswith("loss")}

    classes, everything = losses(), losses(teach_boxes=True)
    on_boxes = {
        f"{name}{of}_target" for name in ("loss_box", "loss_giou") for of in ("", "_proposals")
    }
    assert everything.keys() - classes.keys() == on_boxes
    assert all(everything[name] > 0 for name in on_boxes)
    assert classes == {name: pytest.approx(everything[name]) for name in classes}


@pytest.mark.parametrize("gradient_accumulation", [1, 2])
def test_threshold_follows_the_student_on_labeled_images(
    make_detector, make_trainer, make_hook, pairs, gradient_accumulation
):
    """Nobody's labels reach it, and no teacher: their scores passed a threshold before."""
    threshold = DynamicThreshold(
        initial=0.9, lowest=0.0, highest=1.0, momentum=0.5, update_period=1
    )
    hook = make_hook(threshold=threshold)
    trainer = make_trainer(
        make_detector(), hook, gradient_accumulation=gradient_accumulation, lr=0.0
    )
    scores = []

    class Spy(LossHook):
        def output_losses(self, step):
            if step.domain is Domain.SOURCE:
                matched = step.matches.image, step.matches.prediction
                logits = step.outputs.decoder.logits[-1][matched]
                scores.append(logits.detach().sigmoid().flatten())
            return {}

    trainer.loss_hooks.append(Spy())
    trainer.train(0, 2)
    assert [len(x) for x in scores] == [2] * 2 * gradient_accumulation  # an object an image
    expected = 0.9
    for i in range(2):
        mean = torch.cat(scores[i * gradient_accumulation :][:gradient_accumulation]).mean().item()
        expected = 0.5 * expected + 0.5 * 0.5 * math.sqrt(mean)
    assert threshold.at(1.0).item() == pytest.approx(expected, rel=1e-5)
    latest = trainer.storage.latest()
    assert latest["pseudo_labels/boxes_per_image"][0] == 0  # the first threshold was out of reach


def test_batch_without_pseudo_boxes_is_legal(make_detector, make_trainer, make_hook):
    trainer = make_trainer(make_detector(), make_hook(value=1.0, teach_boxes=True))
    trainer.train(0, 2)
    latest = {name: value for name, (value, _) in trainer.storage.latest().items()}
    assert latest["pseudo_labels/boxes_per_image"] == 0
    assert latest["loss_box_target"] == latest["loss_giou_target"] == 0
    assert latest["loss_class_target"] > 0
    assert latest["pseudo_labels/recall"] == 0
    assert "pseudo_labels/precision" not in latest


def test_resumed_teaching_repeats_the_whole_run(check_resume, pairs):
    def make_hooks():
        threshold = DynamicThreshold(initial=0.01, lowest=0.001, scale=0.1, update_period=2)
        hook = TeacherHook(loader=pairs, threshold=threshold, ema_decay=0.9)
        return hook, DomainAdversarialHook()

    check_resume(make_hooks, stop_at=3, max_iter=5)


@pytest.fixture
def seeded_pairs(pairs):
    """Pairs with the seeds that a sample stream gives; nearly all of the image is breast."""

    def seed(batch, first):
        for i, sample in enumerate(batch):
            height, width = sample["image"].shape[1:]
            sample["image"] = torch.full((3, height, width), 120, dtype=torch.uint8)
            sample["image"][:, :, -5:] = 0
            sample["strong_image"] = sample["image"] // 2
            sample["random_seed"] = first + i
        return batch

    return [seed(next(pairs.iterate_from(i)), 10 * i) for i in range(2)]


def test_labels_of_pasted_lesions_teach_with_those_of_the_teacher(
    make_detector, make_trainer, make_hook, seeded_pairs
):
    always = LesionCopyPaste(to_unlabeled_probability=1.0, to_labeled_probability=0.0)
    hook = make_hook(value=1.0, copy_paste=always)  # the teacher itself labels nothing
    trainer = make_trainer(make_detector(), hook)
    labeled, unlabeled = seeded_pairs
    for sample in labeled:
        sample["instances"].gt_boxes.tensor[:] = torch.tensor([10.0, 20.0, 18.0, 30.0])
        sample["image"][:, 20:30, 10:18] = 200  # 80 above its tissue
    hook.load = lambda iteration: hook._loaded.append(unlabeled)
    given = []
    supervised_losses = trainer.supervised_losses

    def spy(batch, *args, **options):
        given.append(batch)
        return supervised_losses(batch, *args, **options)

    trainer.supervised_losses = spy
    trainer.loader.iterate_from = lambda iteration: iter([labeled])
    trainer.train(0, 1)
    assert all(len(sample["instances"]) == 1 for batch in given for sample in batch)
    for sample in given[1]:
        x0, y0, x1, y1 = sample["instances"].gt_boxes.tensor[0].int().tolist()
        assert sorted((x1 - x0, y1 - y0)) == [8, 10]
        middle = sample["image"][:, (y0 + y1) // 2, (x0 + x1) // 2].int()
        assert ((middle - 60 - 80).abs() < 25).all()
    assert trainer.storage.latest()["pseudo_labels/pasted_per_image"][0] == 1
    assert trainer.storage.latest()["pseudo_labels/boxes_per_image"][0] == 0


def test_pasted_lesions_do_not_move_the_threshold_that_let_them_in(
    make_detector, make_trainer, make_hook, seeded_pairs
):
    """It follows the scores of labeled objects."""

    def double(labeled, unlabeled):
        twice = [{**x, "instances": Instances.cat([x["instances"]] * 2)} for x in labeled]
        return twice, unlabeled, sum(len(x["instances"]) for x in labeled)

    counts = []
    for copy_paste in (None, double):
        hook = make_hook(copy_paste=copy_paste)
        hook.threshold.observe = lambda sums, number: counts.append(number)
        hook.load = lambda iteration, hook=hook: hook._loaded.append(seeded_pairs[1])
        make_trainer(make_detector(), hook).train(0, 1)
    assert counts[0].sum() > 0
    assert torch.equal(*counts)


def test_pasted_and_mixed_images_do_not_go_with_an_expert(make_hook):
    expert = ExpertDistillationHook(
        stores="store",
        loss=InfoNCE(temperature=0.1),
        queue_size=2,
        image_weight=1.0,
        lesion_weight=1.0,
        zero_shot_weight=1.0,
        missing="error",
    )
    hook = make_hook(copy_paste=LesionCopyPaste())
    hook.trainer = SimpleNamespace(loss_hooks=[hook, expert])
    with pytest.raises(InputError, match=r"copy_paste cannot go with loss_hooks\.expert"):
        hook.before_train()
    loader = SimpleNamespace(stream=SimpleNamespace(mix=Mixup()))
    expert.trainer = SimpleNamespace(loader=loader)
    with pytest.raises(InputError, match=r"train\.mix cannot go with loss_hooks\.expert"):
        expert.before_train()


def test_teacher_is_evaluated_and_saved(make_detector, make_trainer, make_hook):
    hook = make_hook()
    trainer = make_trainer(make_detector(), hook)
    assert hook.extra_models() == {"teacher": hook.teacher}
    optimized = {p for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimized.isdisjoint(hook.teacher.parameters())


def test_teacher_is_the_bare_detector_whatever_hooks_train(make_detector, make_trainer, make_hook):
    """It is evaluated and saved alone, and predicts: nothing that only training uses is in it."""
    hook = make_hook()
    detector = make_detector()
    trainer = make_trainer(detector, DomainAdversarialHook(), hook)
    trainer.train(0, 1)
    weights = hook.teacher.state_dict()
    assert weights.keys() == make_detector().state_dict().keys()
    assert hook.state_dict()["teacher"].keys() == weights.keys()
    assert set(detector.training_modules) == {"discriminators"}


def test_samples_without_a_strong_view_are_refused(make_detector, make_trainer, make_hook, pairs):
    pairs.as_pairs = False
    trainer = make_trainer(make_detector(), make_hook())
    with pytest.raises(InputError, match="PairedViewMapper"):
        trainer.train(0, 1)


@pytest.mark.parametrize("options", [{"ema_decay": 1.0}, {"loss_weight": -1.0}])
def test_senseless_numbers_are_refused(make_hook, options):
    with pytest.raises(InputError, match=next(iter(options))):
        make_hook(**options)


def boxes(corners, classes):
    instances = Instances((100, 100))
    instances.gt_boxes = Boxes(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return instances


def test_hits_are_counted_by_both_rules():
    truth = boxes([[0, 0, 20, 20], [50, 50, 70, 70], [80, 0, 100, 20]], [0, 0, 1])
    pseudo = boxes(
        [
            [0, 0, 20, 20],  # on the first object
            [0, 0, 20, 16],  # again: IoU 0.8
            [51, 51, 61, 61],  # in the second, IoU 0.25
            [80, 0, 100, 20],  # on the third, but of another class
            [0, 80, 10, 90],  # on nothing
        ],
        [0, 0, 0, 0, 1],
    )
    assert count_hits(pseudo, truth).tolist() == [5, 2, 3, 3, 1]
    assert count_hits(boxes([], []), truth).tolist() == [0, 0, 0, 3, 0]
    assert count_hits(pseudo, boxes([], [])).tolist() == [5, 0, 0, 0, 0]


def test_quality_is_that_of_the_last_iterations():
    quality = PseudoLabelQuality(window=2)
    assert quality.metrics() == {}
    quality.add(torch.tensor([10.0, 10, 10, 10, 10]))
    quality.add(torch.tensor([4.0, 1, 2, 0, 0]))
    quality.add(torch.tensor([0.0, 0, 0, 5, 0]))
    assert quality.metrics() == {"precision": 0.25, "precision_center": 0.5, "recall": 0.0}
