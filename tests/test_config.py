from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, LazyConfig, get_cfg, instantiate
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.utils.visualizer import Visualizer

from medmask import add_medmask_config
from medmask.errors import InputError
from medmask.modeling import HungarianMatcher, MedMask, OneToManyMatcher

HEAD = "transformer.decoder.class_heads.0.weight"
FULL_SIZE = Path(__file__).parents[1] / "configs" / "common" / "models" / "medmask_r50.py"


@pytest.fixture
def config() -> CfgNode:
    config = get_cfg()
    add_medmask_config(config)
    config.MODEL.DEVICE = "cpu"
    config.MODEL.WEIGHTS = ""
    return config


def make_small(config: CfgNode) -> None:
    config.MODEL.BACKBONE.NAME = "build_small_resnet_backbone"
    config.MODEL.MEDMASK.merge_from_other_cfg(
        CfgNode(
            {
                "NUM_CLASSES": 2,
                "NUM_QUERIES": 11,
                "NUM_LEVELS": 3,
                "EMBED_DIM": 64,
                "NUM_HEADS": 4,
                "NUM_POINTS": 2,
                "FEED_FORWARD_DIM": 128,
                "NUM_ENCODER_LAYERS": 1,
                "NUM_DECODER_LAYERS": 2,
                "DROPOUT": 0.0,
                "BOX_REFINEMENT": True,
                "TWO_STAGE": True,
                "MATCHES_PER_PROPOSAL_TARGET": 6,
            }
        )
    )
    config.INPUT.MIN_SIZE_TEST = 64
    config.TEST.DETECTIONS_PER_IMAGE = 7


def test_default_is_the_full_size_detector_of_the_lazy_config(config):
    lazy = instantiate(LazyConfig.load(str(FULL_SIZE)).model)
    model = build_model(config)
    assert isinstance(model, MedMask)
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = (
            {name: (x.shape, x.requires_grad) for name, x in getattr(m, kind)()}
            for m in (model, lazy)
        )
        assert ours == theirs
    assert str(model) == str(lazy)  # strides and dropout included
    assert torch.equal(model.pixel_mean, lazy.pixel_mean)
    assert torch.equal(model.pixel_std, lazy.pixel_std)
    assert model.max_detections == lazy.max_detections
    assert model.nms_iou is lazy.nms_iou is None
    assert len(model.neck.merges) == 0
    assert model.criterion.weights == lazy.criterion.weights
    assert vars(model.criterion.matcher.cost) == vars(lazy.criterion.matcher.cost)
    for name in ("box_refinement", "gradient_checkpointing"):
        assert getattr(model.transformer.decoder, name) == getattr(lazy.transformer.decoder, name)


def test_every_option_reaches_the_model(config):
    make_small(config)
    options = config.MODEL.MEDMASK
    options.CLASS_WEIGHT, options.BOX_WEIGHT, options.GIOU_WEIGHT = 1.0, 2.0, 3.0
    options.GRADIENT_CHECKPOINTING = True
    options.DROPOUT = 0.25
    options.NMS_IOU = 0.5
    options.TOP_DOWN = True
    config.MODEL.PIXEL_MEAN = [1.0, 2.0, 3.0]
    model = build_model(config)
    transformer, criterion = model.transformer, model.criterion
    attention = transformer.decoder.layers[0].cross_attention
    assert (attention.num_heads, attention.num_levels, attention.num_points) == (4, 3, 2)
    assert (len(transformer.encoder.layers), len(transformer.decoder.layers)) == (1, 2)
    assert transformer.encoder.layers[0].feed_forward.linear1.weight.shape == (128, 64)
    assert transformer.encoder.layers[0].dropout.p == 0.25
    assert transformer.encoder.gradient_checkpointing
    assert transformer.decoder.gradient_checkpointing
    assert transformer.decoder.box_refinement
    assert transformer.proposals.num_queries == 11
    assert transformer.num_classes == transformer.decoder.class_heads[0].out_features == 2
    assert list(criterion.weights.values()) == [1.0, 2.0, 3.0]
    cost = criterion.matcher.cost
    assert (cost.class_weight, cost.box_weight, cost.giou_weight) == (1.0, 2.0, 3.0)
    assert isinstance(criterion.matcher, HungarianMatcher)
    assert isinstance(criterion.proposal_matcher, OneToManyMatcher)
    assert criterion.proposal_matcher.matches_per_target == 6
    assert model.pixel_mean.flatten().tolist() == [1.0, 2.0, 3.0]
    assert model.max_detections == 7
    assert model.nms_iou == 0.5
    assert len(model.neck.merges) == 2


@pytest.mark.parametrize("nms_iou", [1.5, -0.1, float("nan"), "none"])
def test_senseless_suppression_is_refused(config, nms_iou):
    config.MODEL.MEDMASK.NMS_IOU = nms_iou
    with pytest.raises(InputError, match=rf"NMS_IOU\) is {nms_iou!r}, but must be a number in \["):
        build_model(config)


def test_default_predictor_detects_in_an_image_file_and_visualizer_draws(config, tmp_path):
    make_small(config)
    config.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    trained = build_model(config)
    for head in trained.transformer.decoder.class_heads:
        torch.nn.init.normal_(head.weight)
    torch.save({"model": trained.state_dict()}, config.MODEL.WEIGHTS)
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)

    predictor = DefaultPredictor(config)
    instances = predictor(image)["instances"]
    assert instances.image_size == (90, 130)
    assert 0 < len(instances) <= 7
    # The weights of the file, the colors in the order of training, and the test size.
    resized = predictor.aug.get_transform(image).apply_image(image[:, :, ::-1])
    assert min(resized.shape[:2]) == 64
    pixels = torch.from_numpy(resized.astype("float32").transpose(2, 0, 1))
    with torch.no_grad():
        (expected,) = trained.eval()([{"image": pixels, "height": 90, "width": 130}])
    torch.testing.assert_close(instances.pred_boxes.tensor, expected["instances"].pred_boxes.tensor)
    torch.testing.assert_close(instances.scores, expected["instances"].scores)

    drawing = Visualizer(image[:, :, ::-1]).draw_instance_predictions(instances).get_image()
    assert drawing.shape == image.shape
    assert (drawing != image[:, :, ::-1]).any()
    assert cv2.imencode(".png", drawing)[0]


@pytest.mark.parametrize(
    ("name", "network_options"),
    [("test_efficientnet", {}), ("test_vit", {"depth": 4})],
    ids=["efficientnet", "vit"],
)
def test_default_predictor_detects_with_a_network_of_timm(config, tmp_path, name, network_options):
    make_small(config)
    config.MODEL.BACKBONE.NAME = "build_timm_backbone_from_config"
    config.MODEL.BACKBONE.FREEZE_AT = 1
    config.MODEL.MEDMASK.TIMM.NAME = name
    config.MODEL.MEDMASK.TIMM.PYRAMID_CHANNELS = 32
    config.MODEL.MEDMASK.TIMM.NETWORK_OPTIONS.update(network_options)
    config.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    trained = build_model(config).eval()
    torch.save({"model": trained.state_dict()}, config.MODEL.WEIGHTS)
    network = next(m for n, m in trained.backbone.named_modules() if f".{n}".endswith(".network"))
    learns = [p.requires_grad for p in network.parameters()]
    assert learns[0] is False
    assert learns[-1] is True

    predictor = DefaultPredictor(config)
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    instances = predictor(image)["instances"]
    resized = predictor.aug.get_transform(image).apply_image(image[:, :, ::-1])
    pixels = torch.from_numpy(resized.astype("float32").transpose(2, 0, 1))
    with torch.no_grad():
        (expected,) = trained([{"image": pixels, "height": 90, "width": 130}])
    assert len(instances) == 7
    torch.testing.assert_close(instances.pred_boxes.tensor, expected["instances"].pred_boxes.tensor)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda weights: weights.clear(), "no parameter of this model"),
        (lambda weights: [weights.pop(name) for name in list(weights)[::2]], "missing"),
        (lambda weights: weights["neck.projections.0.0.weight"].fill_(float("nan")), "NaN"),
        (lambda weights: weights.update({HEAD: torch.zeros(5, 64)}), f"missing .{HEAD}"),
    ],
)
def test_default_predictor_refuses_weights_that_do_not_fill_the_model(
    config, tmp_path, fault, words
):
    make_small(config)
    config.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    weights = build_model(config).state_dict()
    fault(weights)
    torch.save({"model": weights}, config.MODEL.WEIGHTS)
    with pytest.raises(InputError, match=words):
        DefaultPredictor(config)
