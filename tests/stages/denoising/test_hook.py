from types import SimpleNamespace

import pytest
import torch
from detectron2.structures import Instances
from fvcore.nn import sigmoid_focal_loss
from torchvision.ops import box_convert, generalized_box_iou_loss

from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.stages.denoising import BoxNoise, DenoisingHook

NAMES = {"loss_class_denoising", "loss_box_denoising", "loss_giou_denoising"}


@pytest.fixture
def detector(make_model):
    torch.manual_seed(0)
    return make_model(two_stage=True, box_refinement=True)


def make_hook(detector, **noise):
    hook = DenoisingHook(noise=BoxNoise(**noise), weight=2.0)
    hook.build(detector)
    hook.trainer = SimpleNamespace(detector=detector)
    return hook


def decode(detector, step, references, mask):
    return detector.transformer.decode_boxes(
        references, step.outputs.memory, step.outputs.tokens, mask
    )


def test_losses_are_those_of_each_query_by_itself(detector, pairs):
    """Near copies answer for their object in every layer, far ones are background."""
    step = detector.supervised_step(next(pairs.iterate_from(0)))
    hook = make_hook(detector, num_groups=3)
    torch.manual_seed(1)
    losses = hook.output_losses(step)
    torch.manual_seed(1)
    noised = hook.noise(step.targets)
    output = decode(detector, step, noised.references, noised.attention_mask)
    sums = torch.zeros(3, dtype=torch.float64)
    near = set(zip(*(x.tolist() for x in noised.matches), strict=True))
    for logits, boxes in zip(output.logits.double(), output.boxes.double(), strict=True):
        for image, query in noised.exists.nonzero().tolist():
            objects = [t for i, q, t in near if (i, q) == (image, query)]
            label = torch.full((1,), float(bool(objects)), dtype=torch.float64)
            sums[0] += sigmoid_focal_loss(logits[image, query], label, 0.25, 2.0)[0]
            for index in objects:
                box, truth = boxes[image, query], step.targets[image].boxes[index].double()
                sums[1] += (box - truth).abs().sum()
                corners = (box_convert(x[None], "cxcywh", "xyxy") for x in (box, truth))
                sums[2] += generalized_box_iou_loss(*corners)[0]
    expected = sums * torch.tensor([2.0, 5.0, 2.0]) / (2 * 3 * len(output.logits))
    assert losses.keys() == NAMES
    for name, value in zip(sorted(NAMES, key=lambda n: "cbg".index(n[5])), expected, strict=True):
        assert losses[name].item() == pytest.approx(2.0 * value.item(), rel=1e-4)


def test_a_group_is_decoded_as_if_it_were_alone(detector, pairs):
    detector.eval()
    with torch.no_grad():
        step = detector.supervised_step(next(pairs.iterate_from(0)))
        noised = BoxNoise(num_groups=2)(step.targets)
        both = decode(detector, step, noised.references, noised.attention_mask)
        alone = decode(detector, step, noised.references[:, 2:], None)
        seeing_all = decode(detector, step, noised.references, None)
    torch.testing.assert_close(both.logits[:, :, 2:], alone.logits)
    torch.testing.assert_close(both.boxes[:, :, 2:], alone.boxes)
    assert not torch.allclose(seeing_all.logits[:, :, 2:], alone.logits, atol=1e-5)


def test_an_image_is_decoded_as_if_the_others_had_no_more_objects_than_it_has(detector, pairs):
    detector.eval()
    batch = next(pairs.iterate_from(0))
    still = BoxNoise(num_groups=2, shift=0, log_scale=0, far=False)
    outputs = []
    for number in (1, 3):
        instances = batch[1]["instances"]
        more = [batch[0], batch[1] | {"instances": Instances.cat([instances[:1]] * number)}]
        with torch.no_grad():
            step = detector.supervised_step(more)
            noised = still(step.targets)
            output = decode(detector, step, noised.references, noised.attention_mask)
        outputs.append(output.logits[:, 0, noised.exists[0]])
    torch.testing.assert_close(*outputs)


def test_target_images_teach_nothing(detector, pairs):
    step = detector.supervised_step(next(pairs.iterate_from(0)), domain=Domain.TARGET)
    assert make_hook(detector).output_losses(step) == {}


def test_a_batch_without_lesions_has_losses_of_zero(detector, pairs):
    batch = next(pairs.iterate_from(0))
    for sample in batch:
        sample["instances"] = sample["instances"][:0]
    losses = make_hook(detector).output_losses(detector.supervised_step(batch))
    assert {name: loss.item() for name, loss in losses.items()} == dict.fromkeys(NAMES, 0)
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in detector.parameters())


def test_the_decoder_learns_to_restore_boxes(make_trainer, detector):
    hook = DenoisingHook(noise=BoxNoise(num_groups=4))
    trainer = make_trainer(detector, hook, lr=2e-3)
    trainer.train(0, 150)
    history = trainer.storage.history("loss_box_denoising").values()
    values = [value for value, _ in history]
    assert sum(values[-20:]) < 0.8 * sum(values[:20])


def test_detectors_whose_queries_start_from_points_are_refused(make_model):
    with pytest.raises(InputError, match="two_stage=True"):
        DenoisingHook(noise=BoxNoise()).build(make_model(two_stage=False))


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match="weight is -1"):
        DenoisingHook(noise=BoxNoise(), weight=-1)
