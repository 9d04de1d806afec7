import pytest
import torch
from detectron2.structures import ImageList, pairwise_iou
from detectron2.utils.analysis import FlopCountAnalysis
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.modeling.multi_scale_tokens import make_padding_mask
from medmask.modeling.postprocessing import select_detections, suppress_overlaps

VARIANTS = pytest.mark.parametrize("two_stage", [False, True], ids=["one_stage", "two_stage"])
REFINEMENT = pytest.mark.parametrize("box_refinement", [False, True], ids=["", "box_refinement"])
BOX, OTHER_BOX = [5.0, 10.0, 30.0, 40.0], [20.0, 4.0, 47.0, 33.0]


@VARIANTS
@REFINEMENT
@pytest.mark.parametrize(
    "boxes", [[[BOX], []], [[], []], [[BOX, OTHER_BOX] * 20, [BOX]]], ids=["some", "none", "many"]
)
def test_losses_are_finite_and_reach_every_parameter(
    make_model, make_input, box_refinement, two_stage, boxes
):
    """Distributed training without a search for unused parameters depends on it."""
    model = make_model(box_refinement=box_refinement, two_stage=two_stage)
    losses = model([make_input(64, 48, boxes[0]), make_input(33, 47, boxes[1])])
    assert len(losses) == (6 if two_stage else 3)
    assert all(loss.isfinite() and loss.shape == () for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@VARIANTS
def test_every_parameter_has_an_effect(make_model, make_input, two_stage):
    """A gradient that is there may be zero; in a fresh model zero-initialized layers do that."""
    model = make_model(two_stage=two_stage)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    sum(model([make_input(64, 64, [BOX])]).values()).backward()
    assert not [n for n, p in model.named_parameters() if not p.grad.any()]


@pytest.mark.parametrize("size", [(33, 47), (200, 40), (64, 64)])
@VARIANTS
def test_one_image_of_any_size_is_trained_on_and_searched(make_model, make_input, two_stage, size):
    model = make_model(two_stage=two_stage)
    batch = [make_input(*size, [[1.0, 2.0, 30.0, 31.0]])]
    assert sum(model(batch).values()).isfinite()
    with torch.no_grad():
        (result,) = model.eval()(batch)
    assert result["instances"].image_size == size


def test_fewer_tokens_than_queries_give_fewer_detections(make_model, make_input):
    model = make_model(num_queries=1000).eval()
    model.max_detections = 1000
    with torch.no_grad():
        (result,) = model([make_input(64, 64)])
    assert 0 < len(result["instances"]) <= 8 * 8 + 4 * 4 + 2 * 2


def test_detections_are_in_the_coordinates_of_the_original_image(make_model, make_input):
    model = make_model().eval()
    batch = [make_input(64, 96), make_input(48, 64)]
    with torch.no_grad():
        plain = model(batch)
        scaled = model([x | {"height": 3 * x["height"], "width": 2 * x["width"]} for x in batch])
        unknown = model([{"image": x["image"]} for x in batch])
    for x, a, b, c in zip(batch, plain, scaled, unknown, strict=True):
        a, b, c = (y["instances"] for y in (a, b, c))
        assert len(a) > 0
        assert a.image_size == c.image_size == (x["height"], x["width"])
        assert b.image_size == (3 * x["height"], 2 * x["width"])
        assert_close(b.pred_boxes.tensor, a.pred_boxes.tensor * torch.tensor([2, 3, 2, 3]))
        assert torch.equal(c.pred_boxes.tensor, a.pred_boxes.tensor)
        assert (a.scores.diff() <= 0).all()


def move_boxes(model):
    """Change the fresh box heads, which leave all boxes where they are."""
    for head in model.transformer.decoder.box_heads:
        torch.nn.init.normal_(head.layers[-1].weight, std=0.1)


def test_detections_are_those_of_the_last_decoder_layer(make_model, make_input):
    model = make_model().eval()
    model.nms_iou = None
    move_boxes(model)
    batch = [make_input(64, 96)]
    with torch.no_grad():
        (result,) = model(batch)
        output = model.detect(model.preprocess_image(batch))
    (expected,) = select_detections(
        output.decoder.logits[-1], output.decoder.boxes[-1], [(64, 96)], model.max_detections
    )
    expected = expected[expected.pred_boxes.nonempty()]
    assert_close(result["instances"].pred_boxes.tensor, expected.pred_boxes.tensor)
    assert_close(result["instances"].scores, expected.scores)


def test_overlaps_are_suppressed_in_inference_where_the_model_says_so(make_model, make_input):
    model = make_model().eval()
    model.nms_iou = None
    move_boxes(model)
    batch = [make_input(64, 96), make_input(50, 64)]
    with torch.no_grad():
        for head in model.transformer.decoder.box_heads:
            head.layers[-1].bias[2:] += 1  # large boxes overlap
        everything = [x["instances"] for x in model(batch)]
        model.nms_iou = 0.3
        kept = [x["instances"] for x in model(batch)]
    assert sum(map(len, kept)) < sum(map(len, everything))
    for found, before in zip(kept, everything, strict=True):
        expected = suppress_overlaps(before, 0.3)
        assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
        assert_close(found.scores, expected.scores)


def test_order_of_the_images_does_not_matter(make_model, make_input):
    model = make_model().eval()
    batch = [make_input(64, 48), make_input(50, 64), make_input(33, 47)]
    with torch.no_grad():
        forward, backward = model(batch), model(batch[::-1])
    for a, b in zip(forward, backward[::-1], strict=True):
        a, b = a["instances"], b["instances"]
        assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor, rtol=1e-4, atol=1e-3)
        assert_close(a.scores, b.scores)


def test_padding_reaches_predictions_only_through_the_maps(make_model):
    """Maps are given here: the convolutions and GroupNorm that make them do see the padding."""
    model = make_model().eval()
    maps = [torch.randn(1, 64, n, n) for n in (8, 4, 2)]

    def predict(padding):
        size = 64 + padding
        model.backbone.forward = lambda image: image
        model.neck.forward = lambda image: [
            torch.nn.functional.pad(m, (0, padding // s, 0, padding // s), value=7.0)
            for m, s in zip(maps, (8, 16, 32), strict=True)
        ]
        return model.detect(ImageList(torch.zeros(1, 3, size, size), [(64, 64)])).decoder

    with torch.no_grad():
        alone, padded = predict(0), predict(64)
    assert_close(alone.boxes, padded.boxes, rtol=0, atol=1e-5)
    assert_close(alone.logits, padded.logits, rtol=0, atol=1e-4)


def test_images_are_normalized_before_they_are_padded(make_model, make_input):
    model = make_model()
    batch = [make_input(10, 30), make_input(20, 15)]
    images = model.preprocess_image(batch)
    assert images.image_sizes == [(10, 30), (20, 15)]
    padding = make_padding_mask(images.image_sizes, images.tensor.shape[-2:])
    for image, x, mask in zip(images.tensor, batch, padding, strict=True):
        height, width = x["height"], x["width"]
        expected = (x["image"].float() - 60) / 60
        assert_close(image[:, :height, :width], expected)
        assert (image[:, mask] == 0).all()


@pytest.mark.parametrize("order", [1, -1], ids=["bytes-first", "floats-first"])
def test_images_of_both_types_share_a_batch(make_model, make_input, order):
    """A batch begins with bytes or with floats; neither is rounded."""
    model = make_model()
    inputs = [make_input(40, 30), make_input(40, 30)]
    inputs[1]["image"] = inputs[1]["image"] * 0.3
    alone = [model.preprocess_image([x]).tensor for x in inputs]
    together = model.preprocess_image(inputs[::order]).tensor
    torch.testing.assert_close(together, torch.cat(alone[::order]), rtol=0, atol=0)


def test_targets_are_shares_of_the_unpadded_image(make_model, make_input):
    batch = [make_input(40, 80, [[20.0, 10.0, 60.0, 20.0]]), make_input(100, 100)]
    first, second = make_model().prepare_targets(batch)
    assert_close(first.boxes, torch.tensor([[0.5, 0.375, 0.5, 0.25]]))
    assert first.labels.tolist() == [0]
    assert second.boxes.shape == (0, 4)


@pytest.mark.parametrize("category", [-1, 1])
def test_class_that_the_model_does_not_know_is_refused(make_model, make_input, category):
    wrong = make_input(64, 64, [BOX, OTHER_BOX])
    wrong["file_name"] = "images/7.png"
    wrong["instances"].gt_classes[1] = category
    with pytest.raises(
        InputError, match=r"images/7\.png has .*set model\.transformer\.num_classes"
    ):
        make_model()([wrong])


@VARIANTS
def test_mixed_precision_comes_near_full_precision(make_model, make_input, two_stage):
    model = make_model(two_stage=two_stage)
    batch = [make_input(64, 64, [BOX]), make_input(64, 64)]

    def run():
        model.zero_grad()
        losses = model(batch)
        sum(losses.values()).backward()
        return losses, [p.grad.clone() for p in model.parameters()]

    full, full_gradients = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, half_gradients = run()
    for name in full:
        assert half[name].dtype == torch.float32
        assert_close(half[name], full[name], rtol=0.05, atol=1e-3)
    a, b = (torch.cat([g.flatten() for g in x]) for x in (full_gradients, half_gradients))
    assert torch.cosine_similarity(a, b, dim=0) > 0.95


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_detector_cast_to_half_precision_is_refused(make_model, make_input, dtype):
    model = make_model().to(dtype)
    name = str(dtype).removeprefix("torch.")
    for training in (True, False):
        with pytest.raises(InputError, match=f"cast to {name}, .* under torch.autocast"):
            model.train(training)([make_input(64, 64, [BOX])])


@pytest.mark.slow
@VARIANTS
def test_two_images_are_learned_by_heart(make_model, make_input, two_stage):
    model = make_model(two_stage=two_stage, num_queries=10)
    # One proposal an object: queries from several would be too alike to be told apart by heart.
    model.criterion.proposal_matcher = model.criterion.matcher
    boxes = [[[16.0, 16.0, 56.0, 48.0]], [[60.0, 50.0, 90.0, 100.0], [10.0, 70.0, 40.0, 90.0]]]
    batch = []
    for image_boxes in boxes:
        x = make_input(128, 96, image_boxes)
        x["image"] = x["image"] // 8
        for left, top, right, bottom in x["instances"].gt_boxes.tensor.int().tolist():
            x["image"][:, top:bottom, left:right] += 150
        batch.append(x)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    history = []
    for _ in range(100):
        loss = sum(model(batch).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append(loss.item())
    assert sum(history[-5:]) / 5 < 0.2 * history[0]
    with torch.no_grad():
        results = model.eval()(batch)
    for x, result in zip(batch, results, strict=True):
        found, expected = result["instances"], x["instances"].gt_boxes
        iou = pairwise_iou(expected, found.pred_boxes[: len(expected)])
        assert (iou.amax(1) > 0.6).all()
        # how clearly depends on the order of sums, and so on the number of threads
        assert found.scores[len(expected) :].max() < 0.75 * found.scores[len(expected) - 1]


def make_tokens(model, inputs):
    images = model.preprocess_image(inputs)
    return model.make_tokens(model.neck(model.backbone(images.tensor)), images)


def test_tokens_beyond_an_image_are_padding(make_model, make_input):
    tokens = make_tokens(make_model(), [make_input(64, 96), make_input(64, 96), make_input(64, 80)])
    assert tokens.padding_mask.any(1).tolist() == [False, False, True]
    mask = tokens.split_levels(tokens.padding_mask)[0][2]
    assert mask.shape == (8, 12)
    assert mask[:, 10:].all()
    assert not mask[:, :10].any()


@pytest.mark.filterwarnings("ignore")
def test_operations_are_counted_as_detectron2_counts_them(make_model, make_input):
    model = make_model().eval()
    sample = make_input(64, 96)
    counted = FlopCountAnalysis(model, [{"image": sample["image"]}]).unsupported_ops_warnings(False)
    own = FlopCountAnalysis(model.backbone, torch.zeros(1, 3, 64, 96))
    own.unsupported_ops_warnings(False)
    assert counted.by_module()["model.backbone"] == own.total() > 0
    assert counted.by_module()["model.transformer"] > 0


def test_step_goes_through_forward_and_returns_what_it_likes(make_model, make_input):
    model, batch = make_model(), [make_input(64, 64, [BOX])]
    assert model(batch, step=lambda detector, given: (detector, given)) == (model, batch)
    step = model(batch, step=type(model).supervised_step)
    losses = model(batch)
    assert_close(losses, dict(step.losses))
    assert step.batched_inputs is batch
    assert step.domain is Domain.SOURCE
    assert set(step.features) == {"res3", "res4", "res5"}
    assert step.matches.target.tolist() == [0]
    assert_close(step.targets[0].boxes, model.prepare_targets(batch)[0].boxes)


@VARIANTS
def test_boxes_teach_only_if_they_may(make_model, make_input, two_stage):
    model, batch = make_model(two_stage=two_stage), [make_input(64, 64, [BOX])]
    losses = dict(model.supervised_step(batch).losses)
    classes = model.supervised_step(batch, classes_only=True).losses
    assert_close(dict(classes), {k: v for k, v in losses.items() if "class" in k})


def test_detector_reads_the_maps_that_are_named(make_model, make_input):
    small = make_model()
    model = type(small)(
        backbone=small.backbone,
        transformer=small.transformer,
        criterion=small.criterion,
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
        in_features=["res4", "res5"],
    )
    assert model.neck.in_features == ["res4", "res5"]
    assert [m.shape[-2:] for m in model.neck(model.backbone(torch.zeros(1, 3, 128, 128)))] == [
        (8, 8),
        (4, 4),
        (2, 2),
    ]
    with pytest.raises(InputError, match=r"model\.in_features names res9.*res3, res4, res5"):
        type(small)(
            backbone=small.backbone,
            transformer=small.transformer,
            criterion=small.criterion,
            pixel_mean=[0.0] * 3,
            pixel_std=[1.0] * 3,
            in_features=["res9"],
        )


def test_in_evaluation_mode_whole_weights_only_are_loaded(make_model):
    model, other = make_model(two_stage=False), make_model(two_stage=True)
    weights = model.state_dict()
    del weights["neck.projections.0.0.weight"]
    model.load_state_dict(weights, strict=False)  # training decides by itself
    model.eval()
    model.load_state_dict(model.state_dict() | {"training_modules.x": None}, strict=False)
    for faulty in (weights, other.state_dict(), {}):
        with pytest.raises(InputError, match="model"):
            model.load_state_dict(faulty, strict=False)


def test_detector_in_evaluation_passes_parts_of_training_over(make_model):
    """The weights of a later stage load by the plainest call there is."""
    model = make_model().eval()
    weights = {name: x + 1 for name, x in model.state_dict().items()}
    model.load_state_dict(weights | {"training_modules.stage.weight": torch.zeros(1)})
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_image_of_values_that_are_not_finite_is_named_as_a_cause(make_model, make_input):
    broken = make_input(64, 64)
    broken["image"] = broken["image"].float()
    broken["image"][0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="or an image has values that are not finite"):
        make_model().eval()([broken])
