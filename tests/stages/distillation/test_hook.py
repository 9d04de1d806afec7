import logging
import sys

import numpy as np
import pytest
import torch
from expert_image_set import DIM, NAME, unit, write_store

from medmask.data import DetectionMapper, build_test_augmentation, build_train_loader
from medmask.engine import MedMaskTrainer
from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling import Domain
from medmask.stages.distillation import ExpertDistillationHook, InfoNCE


def make_hook(*stores, **options):
    return ExpertDistillationHook(stores, **({"loss": InfoNCE(), "queue_size": 6} | options))


@pytest.mark.parametrize("dim", [5, DIM])
def test_projections_fit_the_detector_and_the_store(make_model, tmp_path, records, dim):
    hook, detector = make_hook(write_store(tmp_path / "store", records, dim=dim)), make_model()
    hook.build(detector)
    assert detector.training_modules["expert_distillation"] is hook.module
    for head in (hook.module.image_head, hook.module.lesion_head):
        assert head(torch.randn(3, detector.transformer.embed_dim)).shape == (3, dim)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"model": "another expert"}, "with another model"), ({"dim": 5}, "another embedding_dim")],
)
def test_stores_of_two_experts_are_refused(make_model, tmp_path, records, store, options, words):
    other = write_store(tmp_path / "other", records, **options)
    with pytest.raises(InputError, match=words):
        make_hook(store, other).build(make_model())


def test_second_hook_of_a_kind_is_refused(make_model, store):
    detector = make_model()
    make_hook(store).build(detector)
    with pytest.raises(InputError, match="two that train a module expert_distillation"):
        make_hook(store).build(detector)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stores": []}, "stores is empty"),
        ({"name": "a.b"}, "name is 'a.b', but must have no dot"),
        ({"embedding_space": "flat"}, "embedding_space is 'flat': choose as_is or centered"),
        ({"dense_loss": "mse"}, "dense_loss is 'mse': choose cosine or smooth_l1"),
        ({"heads_alone": 0}, r"expert_distillation\.heads_alone is 0"),
        ({"missing": "ignore"}, "missing is 'ignore': choose error or skip"),
        ({"lesion_weight": -1}, r"expert_distillation\.lesion_weight is -1"),
        ({"normal_queries": -1}, "normal_queries is -1, but must be 0"),
        ({"normal_queries": 3, "zero_shot_weight": 0}, "normal_queries is 3, but must be 0, or"),
        (
            dict.fromkeys(("image_weight", "lesion_weight", "zero_shot_weight"), 0),
            "image_weight, lesion_weight, zero_shot_weight, dense_weight are 0",
        ),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        ExpertDistillationHook(**({"stores": ["x"], "loss": InfoNCE()} | options))


def make_trainer(detector, *hooks):
    loader = build_train_loader(
        dataset=NAME,
        mapper=DetectionMapper(
            with_boxes=True, augmentation=build_test_augmentation(short_edge_length=56, max_size=64)
        ),
        total_batch_size=2,
        num_workers=0,
        seed=0,
    )
    for hook in hooks:
        hook.build(detector)
    return MedMaskTrainer(
        detector,
        loader,
        torch.optim.SGD(detector.parameters(), lr=1e-3),
        clip_gradient_norm=1.0,
        loss_hooks=list(hooks),
    )


@pytest.fixture
def no_open_clip(monkeypatch):
    """An import of open_clip fails."""
    monkeypatch.setitem(sys.modules, "open_clip", None)


def test_normal_queries_have_a_loss_of_the_zero_shot_assignment(make_model, store):
    losses = {}
    for number, weight in ((0, 1.0), (4, 1.0), (4, 2.0)):
        torch.manual_seed(0)
        detector = make_model()
        hook = make_hook(store, normal_queries=number, zero_shot_weight=weight)
        trainer = make_trainer(detector, hook)
        trainer.train(0, 2)
        assert all(p.grad is not None for p in hook.module.parameters())
        values = trainer.storage.histories()
        assert ("loss_expert_normal" in values) == bool(number)
        if number:
            losses[weight] = values["loss_expert_normal"].values()[0][0]
    assert losses[1.0] > 0
    assert losses[2.0] == pytest.approx(2 * losses[1.0])


def test_class_that_no_prompt_is_of_is_refused(make_model, store):
    with pytest.raises(InputError, match=r"normal_class is 'healthy', but .* malignant, normal"):
        make_hook(store, normal_queries=1, normal_class="healthy").build(make_model())


@pytest.mark.usefixtures("no_open_clip")
def test_resumed_run_is_the_uninterrupted_one(make_model, store):
    torch.manual_seed(0)
    whole = make_model()
    trainer = make_trainer(whole, make_hook(store))
    trainer.train(0, 5)
    names = {"loss_expert_image", "loss_expert_lesion", "loss_expert_zero_shot"}
    assert names <= trainer.storage.latest().keys()
    torch.manual_seed(0)
    first = make_model()
    first_trainer = make_trainer(first, make_hook(store))
    first_trainer.train(0, 3)
    resumed = make_model()
    second_trainer = make_trainer(resumed, make_hook(store))
    resumed.load_state_dict(first.state_dict())
    second_trainer.load_state_dict(first_trainer.state_dict())
    second_trainer.train(3, 5)
    for name in names:
        assert second_trainer.storage.latest()[name] == trainer.storage.latest()[name]
    expected = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert value.equal(expected[name]), name
    queue = whole.training_modules["expert_distillation"].image_contrast.queue
    assert queue.count == 6  # 10 images were seen


def test_new_run_forgets_the_queue_that_came_with_its_weights(make_model, store):
    trainer = make_trainer(make_model(), make_hook(store))
    queue = trainer.loss_hooks[0].module.image_contrast.queue
    queue.enqueue(torch.randn(5, DIM), torch.arange(5))
    trainer.train(0, 1)
    assert queue.count == 2


def test_losses_are_added_to_source_steps_only(make_model, store):
    detector = make_model()
    trainer = make_trainer(detector, make_hook(store))
    trainer.train(0, 0)
    batch = next(iter(trainer.loader))
    detector.zero_grad()
    losses = trainer.supervised_losses(batch, Domain.SOURCE)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in detector.training_modules.parameters())
    assert "loss_expert_image" in losses
    target = trainer.supervised_losses(batch, Domain.TARGET)
    assert not [name for name in target if "expert" in name]


def test_zero_shot_target_is_the_experts_own_assignment(make_model, store):
    hook = make_hook(store)
    hook.build(make_model())
    embeddings = unit(np.random.default_rng(2), 4, DIM).astype(np.float32)
    actual = hook._classes.log_assignment(torch.from_numpy(embeddings)).exp()
    expected = ExpertStore(store).prompts.assign(embeddings)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_dense_level_teaches_the_encoder_after_its_heads_alone(make_model, tmp_path, records):
    store, detector = write_store(tmp_path / "dense", records, patch_grid=(4, 3, 5)), make_model()
    stride = detector.backbone.output_shape()[detector.neck.in_features[0]].stride
    off = dict.fromkeys(("image_weight", "lesion_weight", "zero_shot_weight"), 0)
    hooks = [
        make_hook(store, **off, dense_weight=1, dense_strides=[stride], heads_alone=2),
        make_hook(store, name="second"),
    ]
    trainer = make_trainer(detector, *hooks)
    trainer.train(0, 4)
    losses = trainer.storage.latest()
    assert {"loss_expert_dense", "loss_second_image", "loss_second_lesion"} <= losses.keys()
    assert "loss_expert_image" not in losses
    assert {"expert_distillation", "second_distillation"} <= set(detector.training_modules)
    batch = next(iter(trainer.loader))
    encoder = list(detector.transformer.encoder.parameters())
    for iteration, learns in ((1, False), (2, True)):
        trainer.iter = iteration
        detector.zero_grad()
        trainer.supervised_losses(batch, Domain.SOURCE)["loss_expert_dense"].backward()
        assert any(p.grad is not None and p.grad.any() for p in encoder) == learns
        assert all(p.grad is not None for p in hooks[0].module.dense.parameters())


def test_dense_level_needs_patches_and_strides_of_the_encoder(make_model, tmp_path, records, store):
    with pytest.raises(InputError, match=r"dense_weight is 1, but expert store .* no patch tokens"):
        make_hook(store, dense_weight=1).build(make_model())
    dense = write_store(tmp_path / "dense", records, patch_grid=(4, 3, 5))
    with pytest.raises(InputError, match=r"dense_strides is \[7\], but must name some"):
        make_hook(dense, dense_weight=1, dense_strides=[7]).build(make_model())


def test_image_level_of_images_that_are_cropped_otherwise_is_refused(make_model, store):
    trainer = make_trainer(make_model(), make_hook(store))
    trainer.loader.stream.mapper.augmentation = build_test_augmentation(
        short_edge_length=56, max_size=64, breast_crop=True
    )
    with pytest.raises(InputError, match="make it with --breast-crop"):
        trainer.train(0, 1)


def test_held_out_images_of_fewer_than_two_lesions_measure_images_alone(
    make_model, records, store, caplog
):
    for weight, names in ((1.0, {"expert/retrieval_image"}), (0.0, set())):
        hook = make_hook(store, image_weight=weight, held_out_stores=[store])
        trainer = make_trainer(make_model(), hook)
        mapper = trainer.loader.stream.mapper
        samples = [mapper(x) | {"annotations": x["annotations"]} for x in (records[0], records[2])]
        caplog.clear()
        with caplog.at_level(logging.INFO, "medmask"):
            assert hook.measure_learning(samples).keys() == names
        assert "Fewer than two lesions are held out" in caplog.text


def test_held_out_stores_are_checked_before_training(make_model, tmp_path, records, store):
    other = write_store(tmp_path / "other", records[:1])
    for stores, weights, words in (
        ([store], {}, None),
        ([other, store], {}, None),
        ([other], {}, r"held_out_stores \(.*other\) hold fewer than two of the 5 held-out"),
        ([other], dict.fromkeys(("image_weight", "lesion_weight", "zero_shot_weight"), 0), None),
        ([], {}, None),
    ):
        dense = write_store(tmp_path / "dense", records, patch_grid=(4, 3, 5)) if weights else store
        hook = make_hook(dense, held_out_stores=stores, **weights, dense_weight=bool(weights))
        hook.dense_strides = [8]
        hook.build(make_model())
        if words is None:
            hook.check_held_out(records[:5])
        else:
            with pytest.raises(InputError, match=words):
                hook.check_held_out(records[:5])
            hook.check_held_out(records[:1])  # of a single image nothing is measured
    records[1]["annotations"][0]["bbox"] = [0, 0, 7, 7]
    hook = make_hook(store, held_out_stores=[store])
    hook.build(make_model())
    with pytest.raises(InputError, match=r"does not fit 1 of 5 images.*held_out_stores must name"):
        hook.check_held_out(records[:5])
