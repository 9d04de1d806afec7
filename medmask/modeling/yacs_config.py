"""The detector's options in Detectron2's yacs config, for ``DefaultPredictor`` and friends."""

from detectron2.config import CfgNode


def add_medmask_config(cfg: CfgNode) -> None:
    """Make ``cfg`` describe the full-size MedMask detector.

    Adds ``MODEL.MEDMASK`` and sets the keys of Detectron2 that the detector depends on: RGB input,
    a torchvision-style ResNet-50 with frozen BatchNorm giving res3 to res5, ImageNet pixel
    statistics, test images with a short side of 800 and a long side of at most 1333 pixels.
    """
    cfg.MODEL.META_ARCHITECTURE = "MedMask"
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST = 800
    cfg.INPUT.MAX_SIZE_TEST = 1333

    cfg.MODEL.MEDMASK = CfgNode()
    medmask = cfg.MODEL.MEDMASK
    medmask.NUM_CLASSES = 1
    medmask.NUM_QUERIES = 300
    medmask.NUM_LEVELS = 4
    # whether the neck hands coarser maps down to finer ones
    medmask.TOP_DOWN = False
    medmask.EMBED_DIM = 256
    medmask.NUM_HEADS = 8
    medmask.NUM_POINTS = 4
    medmask.FEED_FORWARD_DIM = 1024
    medmask.NUM_ENCODER_LAYERS = 6
    medmask.NUM_DECODER_LAYERS = 6
    medmask.DROPOUT = 0.1
    medmask.BOX_REFINEMENT = False
    medmask.TWO_STAGE = False
    medmask.GRADIENT_CHECKPOINTING = False
    # IoU of non-maximum suppression in inference, None for none
    medmask.NMS_IOU = None
    # weights of the losses and of the matching costs
    medmask.CLASS_WEIGHT = 2.0
    medmask.BOX_WEIGHT = 5.0
    medmask.GIOU_WEIGHT = 2.0
    # two-stage only: tokens that learn to propose an object; 1 matches them one to one
    medmask.MATCHES_PER_PROPOSAL_TARGET = 1
    # for MODEL.BACKBONE.NAME "build_small_resnet_backbone"
    medmask.SMALL_RESNET_WIDTHS = [16, 32, 48, 64, 96]
    # for MODEL.BACKBONE.NAME "build_timm_backbone_from_config", with MODEL.BACKBONE.FREEZE_AT
    medmask.TIMM = CfgNode()
    medmask.TIMM.NAME = "tf_efficientnet_lite0"
    medmask.TIMM.STRIDES = [8, 16, 32]
    medmask.TIMM.BATCH_NORM = "eval"
    medmask.TIMM.PYRAMID_CHANNELS = 256
    medmask.TIMM.NETWORK_OPTIONS = CfgNode(new_allowed=True)
