import math
from types import SimpleNamespace

import pytest
import torch
from training_fixtures import Loader

from medmask.data import Mixup
from medmask.errors import InputError
from medmask.stages.image_labels import ImageLabelHook, LogSumExpPooling, NoisyOrPooling
from medmask.stages.image_labels.hook import image_label_loss, read_label


class LabeledLoader(Loader):
    """Two images a batch, with these labels and no boxes."""

    def __init__(self, *labels):
        super().__init__(seed=900)
        self.labels = labels
        records = [{"file_name": f"{i}.png", "malignant": x} for i, x in enumerate(labels)]
        self.stream = SimpleNamespace(dataset_dicts=records)

    def iterate_from(self, iteration):
        for batch in super().iterate_from(iteration):
            for sample, record in zip(batch, self.stream.dataset_dicts, strict=True):
                del sample["instances"]
                sample |= record
            yield batch


def make_hook(*labels, **options):
    options = {"pooling": LogSumExpPooling(), **options}
    return ImageLabelHook(loader=LabeledLoader(*labels), **options)


@pytest.mark.parametrize("pooling", [LogSumExpPooling(), NoisyOrPooling()], ids=["lse", "or"])
def test_loss_is_the_cross_entropy_of_the_detectors_own_scores(
    make_detector, make_trainer, pooling
):
    detector = make_detector()
    hook = make_hook(True, False, pooling=pooling, weight=3.0)
    trainer = make_trainer(detector, hook)
    trainer.before_train = lambda: None
    batch = next(hook.loader.iterate_from(0))
    detector.eval()
    with torch.no_grad():
        logits = detector.detect(detector.preprocess_image(batch)).decoder.logits[-1, ..., 0]
    p, q = pooling(logits).sigmoid().tolist()
    expected = 3 * (-math.log(p) - math.log(1 - q)) / 2
    trainer.model = lambda samples, step: step(detector, samples)
    hook._loaded.append(batch)
    assert hook.step_losses()["loss_image_label"].item() == pytest.approx(expected, rel=1e-4)


def test_training_by_labels_alone_separates_the_images(make_detector, make_trainer):
    detector = make_detector()
    trainer = make_trainer(detector, make_hook(True, False), lr=3e-3)
    trainer.loader = LabelsOnly()
    trainer.train(0, 12)
    history = [value for value, _ in trainer.storage.history("loss_image_label").values()]
    assert history[-1] < 0.5 * history[0]


def test_held_out_images_are_told_apart_after_training(make_detector, make_trainer, caplog):
    detector = make_detector()
    trainer = make_trainer(detector, make_hook(True, False), lr=3e-3)
    trainer.loader = LabelsOnly()
    (hook,) = trainer.loss_hooks
    samples = [s for i in range(4) for s in next(make_hook(True, False).loader.iterate_from(i))]
    state = torch.get_rng_state()
    before = hook.measure_learning(samples)["image_labels/auc"]
    assert before == hook.measure_learning(samples)["image_labels/auc"]
    assert torch.equal(state, torch.get_rng_state())
    assert detector.training
    trainer.train(0, 12)
    after = hook.measure_learning(samples)["image_labels/auc"]
    assert after.value > before.value
    assert after.beats_constant
    with caplog.at_level("INFO"):
        assert hook.measure_learning([*samples[::2], {"image": samples[0]["image"]}]) == {}
    assert "not measured" in caplog.text


class LabelsOnly(Loader):
    """Labeled batches that never change and hold no lesion."""

    def __init__(self):
        super().__init__(seed=0)

    def sample(self, iteration, width):
        sample = super().sample(0, width)
        return sample | {"instances": sample["instances"][:0]}


def test_images_without_a_label_count_as_zero():
    logits = torch.tensor([1.5, -0.5, 2.0], requires_grad=True)
    loss = image_label_loss(logits, [True, None, False])
    expected = (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(2.0))) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad[1] == 0
    assert image_label_loss(logits, [None] * 3).item() == 0


def test_negatives_are_left_out_by_option():
    hook = make_hook(True, False, negatives=False)
    assert hook._targets([{"malignant": True}, {"malignant": False}, {}]) == [True, None, None]


def test_label_is_read_from_the_field():
    hook = make_hook(True, False, field="lesion")
    assert hook._targets([{"malignant": False, "lesion": True}, {"malignant": True}]) == [
        True,
        None,
    ]


def test_resumed_run_repeats_the_whole_run(check_resume):
    check_resume(lambda: [make_hook(True, False)], 1, max_iter=3)


@pytest.mark.parametrize(
    ("labels", "field"), [((False, None), "malignant"), ((True, False), "lesion")]
)
def test_set_without_a_positive_label_is_refused(make_detector, make_trainer, labels, field):
    with pytest.raises(InputError, match=rf"image_labels\.loader: no image .* {field}=true"):
        make_trainer(make_detector(), make_hook(*labels, field=field)).train(0, 1)


@pytest.mark.parametrize(
    ("labels", "options", "is_warned_of"),
    [
        ((True, None), {}, True),
        ((True, None), {"negatives": False}, False),
        ((True, False), {}, False),
    ],
)
def test_set_without_a_negative_label_is_warned_of(
    make_detector, make_trainer, caplog, labels, options, is_warned_of
):
    trainer = make_trainer(make_detector(), make_hook(*labels, **options))
    trainer.loss_hooks[0].before_train()
    assert ("nothing teaches low scores" in caplog.text) is is_warned_of


def test_mixed_images_which_have_no_label_are_refused(make_detector, make_trainer):
    hook = make_hook(True, False)
    hook.loader.stream.mix = Mixup()
    with pytest.raises(InputError, match=r"image_labels\.loader\.mix cannot go with loss_hook"):
        make_trainer(make_detector(), hook).train(0, 1)


def test_labels_that_are_no_truth_values_are_refused():
    assert [read_label({"malignant": x}, "malignant") for x in (True, 0)] == [True, False]
    assert read_label({"malignant": None}, "malignant") is None
    assert read_label({"malignant": True}, "lesion") is None
    with pytest.raises(InputError, match=r"a\.png: lesion is 'yes' in its record, but must be"):
        read_label({"file_name": "a.png", "lesion": "yes"}, "lesion")


def test_class_that_the_detector_does_not_have_is_refused(make_detector):
    with pytest.raises(InputError, match=r"class_id is 1, but the detector's classes are 0 to 0"):
        make_hook(True, False, class_id=1).build(make_detector())
