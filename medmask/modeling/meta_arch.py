"""The MedMask detector as a Detectron2 meta-architecture."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from medmask.errors import InputError
from medmask.layers import SinePositionEncoding
from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.criterion import DetectionCriterion
from medmask.modeling.matcher import HungarianMatcher, MatchingCost, OneToManyMatcher
from medmask.modeling.multi_scale_tokens import MultiScaleTokens, make_padding_mask, resize_mask
from medmask.modeling.neck import MultiScaleNeck
from medmask.modeling.postprocessing import select_detections, to_original_image
from medmask.modeling.supervised_step import Domain, SupervisedStep
from medmask.modeling.targets import prepare_targets
from medmask.modeling.transformer import DeformableTransformer, TransformerOutput
from medmask.modeling.weights import check_inference_weights

TrainingStep = Callable[["MedMask", list[dict]], Any]
"""A computation on a batch in training: from the bare detector and the batch to anything."""


@META_ARCH_REGISTRY.register()
class MedMask(nn.Module):
    """A deformable transformer on a convolutional backbone.

    Takes and gives what every Detectron2 detector does: in training a dict of weighted losses, in
    inference ``[{"instances": Instances}, ...]`` in the coordinates of the original images.

    Attributes:
        training_modules: parts that only training uses, by name, such as the decoder of masked
            autoencoding. Loss hooks put them there before training; they are trained and saved with
            the detector. A detector for inference has none.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        transformer: DeformableTransformer,
        criterion: DetectionCriterion,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        in_features: Sequence[str] | None = None,
        top_down: bool = False,
        max_detections: int = 100,
        nms_iou: float | None = None,
    ):
        """Assemble the detector; the neck between backbone and transformer follows from both.

        Args:
            backbone: gives feature maps.
            transformer: encoder, queries and decoder.
            criterion: the supervised loss.
            pixel_mean: mean of each image channel, in the mapper's units (0 to 255).
            pixel_std: standard deviation of each channel.
            in_features: the backbone's maps that the detector reads, from fine to coarse; all of
                them, in the backbone's order, if None.
            top_down: whether the neck hands coarser maps down to finer ones, see
                :class:`MultiScaleNeck`.
            max_detections: detections per image in inference.
            nms_iou: of non-maximum suppression among them, class by class, in [0, 1]; None for
                none. Matching one to one teaches queries not to repeat each other, but a short
                training leaves several on one lesion.

        Raises:
            InputError: the backbone lacks a map, or gives more of them than there are levels;
                ``nms_iou`` is out of its range.
        """
        super().__init__()
        if nms_iou is not None and not (isinstance(nms_iou, int | float) and 0 <= nms_iou <= 1):
            raise InputError(
                f"model.nms_iou (yacs: MODEL.MEDMASK.NMS_IOU) is {nms_iou!r}, but must be a number "
                "in [0, 1], or None"
            )
        self.backbone = backbone
        self.neck = MultiScaleNeck(
            _channels_of(backbone, in_features),
            transformer.embed_dim,
            transformer.num_levels,
            top_down,
        )
        self.transformer = transformer
        self.position_encoding = SinePositionEncoding(transformer.embed_dim)
        self.criterion = criterion
        self.max_detections = max_detections
        self.nms_iou = nms_iou
        self.training_modules = nn.ModuleDict()
        self.register_buffer(
            "pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), persistent=False
        )
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Make constructor arguments from a yacs config with :func:`medmask.add_medmask_config`."""
        options = cfg.MODEL.MEDMASK
        cost = MatchingCost(options.CLASS_WEIGHT, options.BOX_WEIGHT, options.GIOU_WEIGHT)
        proposal_matcher = None
        if options.MATCHES_PER_PROPOSAL_TARGET > 1:
            proposal_matcher = OneToManyMatcher(cost, options.MATCHES_PER_PROPOSAL_TARGET)
        return {
            "backbone": build_backbone(cfg),
            "transformer": DeformableTransformer(
                num_classes=options.NUM_CLASSES,
                num_queries=options.NUM_QUERIES,
                num_levels=options.NUM_LEVELS,
                embed_dim=options.EMBED_DIM,
                num_heads=options.NUM_HEADS,
                num_points=options.NUM_POINTS,
                feed_forward_dim=options.FEED_FORWARD_DIM,
                num_encoder_layers=options.NUM_ENCODER_LAYERS,
                num_decoder_layers=options.NUM_DECODER_LAYERS,
                dropout=options.DROPOUT,
                box_refinement=options.BOX_REFINEMENT,
                two_stage=options.TWO_STAGE,
                gradient_checkpointing=options.GRADIENT_CHECKPOINTING,
            ),
            "criterion": DetectionCriterion(
                matcher=HungarianMatcher(cost),
                proposal_matcher=proposal_matcher,
                class_weight=options.CLASS_WEIGHT,
                box_weight=options.BOX_WEIGHT,
                giou_weight=options.GIOU_WEIGHT,
            ),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "top_down": options.TOP_DOWN,
            "max_detections": cfg.TEST.DETECTIONS_PER_IMAGE,
            "nms_iou": options.NMS_IOU,
        }

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> NamedTuple:
        """Load weights; a detector in evaluation mode takes whole ones only.

        Detectron2's ``DefaultPredictor`` loads into one, and would detect with what it starts with
        where the file has nothing that fits. Parts that only training uses are passed over where
        the detector has none, ``strict`` or not.

        Raises:
            InputError: in evaluation mode, a parameter is missing, does not fit or is not finite.
        """
        if not self.training:
            check_inference_weights(self, state_dict, "the weights' file")
            own = self.state_dict()  # what else a file may hold is of no use, nor a mistake
            state_dict = {name: x for name, x in state_dict.items() if name in own}
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(
        self, batched_inputs: list[dict], step: TrainingStep | None = None
    ) -> dict[str, Tensor] | list[dict[str, Instances]] | Any:
        """Train or detect.

        Args:
            batched_inputs: one dict per image: ``image`` (3, H, W), 0 to 255; in training
                ``instances`` with ``gt_boxes`` and ``gt_classes`` (none are legal); in inference
                optionally ``height``, ``width`` and ``original_corners``, see
                :func:`medmask.modeling.postprocessing.to_original_image`.
            step: computation on the batch in training, such as ``MedMask.supervised_step``. Being
                called in here, it goes through whatever wraps the model for distributed training.

        Returns:
            In training, what ``step`` returns, and without one the supervised losses by name. In
            inference, one dict per image with ``instances``: ``pred_boxes``, ``scores``,
            ``pred_classes``.
        """
        if not self.training:
            return self.inference(batched_inputs)
        if step is None:
            return dict(self.supervised_step(batched_inputs).losses)
        return step(self, batched_inputs)

    def supervised_step(
        self,
        batched_inputs: list[dict],
        *,
        domain: Domain = Domain.SOURCE,
        classes_only: bool = False,
    ) -> SupervisedStep:
        """Compute the supervised losses of a batch, and keep what they were computed from.

        Args:
            batched_inputs: as in training of :meth:`forward`.
            domain: of the images; passed on to the result.
            classes_only: leave out the losses on boxes.
        """
        features, outputs = self.compute_outputs(self.preprocess_image(batched_inputs))
        targets = self.prepare_targets(batched_inputs)
        losses, matches = self.criterion(outputs.decoder, targets, outputs.proposals, classes_only)
        return SupervisedStep(losses, batched_inputs, domain, features, outputs, targets, matches)

    def inference(self, batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Detect; see :meth:`forward`."""
        images = self.preprocess_image(batched_inputs)
        output = self.detect(images).decoder
        detections = select_detections(
            output.logits[-1],
            output.boxes[-1],
            images.image_sizes,
            self.max_detections,
            self.nms_iou,
        )
        return [
            {"instances": to_original_image(d, sample)}
            for d, sample in zip(detections, batched_inputs, strict=True)
        ]

    def detect(self, images: ImageList) -> TransformerOutput:
        """Compute everything up to the predictions, for normalized images."""
        return self.compute_outputs(images)[1]

    def compute_outputs(self, images: ImageList) -> tuple[Mapping[str, Tensor], TransformerOutput]:
        """Compute the backbone's maps {name: (N, C_i, h, w)} and all that follows from them."""
        features = self.backbone(images.tensor)
        tokens = self.make_tokens(self.neck(features), images)
        return features, self.transformer(tokens)

    def make_tokens(self, maps: Sequence[Tensor], images: ImageList) -> MultiScaleTokens:
        """Join maps and position encodings to the transformer's input.

        Args:
            maps: of the neck, per level (N, C, h, w).
            images: that they were made of.
        """
        padded_size = tuple(images.tensor.shape[-2:])
        padding_mask = make_padding_mask(images.image_sizes, padded_size, maps[0].device)
        padding_masks = [resize_mask(padding_mask, m.shape[-2:]) for m in maps]
        positions = [self.position_encoding(m) for m in padding_masks]
        return self.transformer.flatten(maps, positions, padding_masks)

    def preprocess_image(self, batched_inputs: list[dict]) -> ImageList:
        """Normalize the images and pad them to one size.

        Raises:
            InputError: the detector has been cast to half precision.
        """
        if self.pixel_mean.dtype in (torch.float16, torch.bfloat16):
            name = str(self.pixel_mean.dtype).removeprefix("torch.")
            raise InputError(
                f"the detector has been cast to {name}, but its boxes need float32: leave the "
                "detector in float32 and call it under torch.autocast, which computes in half "
                "precision where that is safe"
            )
        # a batch takes the type of its first image, and bytes would round the others
        images = [x["image"].to(self.device).float() for x in batched_inputs]
        batch = ImageList.from_tensors(images, self.backbone.size_divisibility)
        pixels = (batch.tensor - self.pixel_mean) / self.pixel_std
        for image, (height, width) in zip(pixels, batch.image_sizes, strict=True):
            image[:, height:] = 0
            image[:, :, width:] = 0
        if self.device.type == "cpu":  # a step on phantoms takes 6 to 9% less so
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        batch.tensor = pixels
        return batch

    def prepare_targets(self, batched_inputs: list[dict]) -> list[DetectionTarget]:
        """Express the ground truth in the coordinates of the unpadded images.

        Raises:
            InputError: see :func:`medmask.modeling.targets.prepare_targets`.
        """
        return prepare_targets(batched_inputs, self.transformer.num_classes, self.device)


def _channels_of(backbone: Backbone, in_features: Sequence[str] | None) -> dict[str, int]:
    """Name -> channels of the maps that a detector reads."""
    shapes = backbone.output_shape()
    names = list(shapes) if in_features is None else in_features
    for name in names:
        if name not in shapes:
            raise InputError(
                f"model.in_features names {name}, which the backbone does not give; it gives "
                f"{', '.join(shapes)}"
            )
    return {name: shapes[name].channels for name in names}
