"""Names of parameters in published checkpoints, and their names here.

Two families of checkpoints share the names of Deformable DETR (Zhu et al., 2021) and differ in the
prefix of the torchvision backbone: the official release, and the MedMask / D-MASTER / MRT line,
which adds a masked-autoencoder decoder and domain discriminators for its training stages.
"""

import functools
import re
from collections.abc import Iterable

_BACKBONE_PREFIXES = {
    "MedMask / D-MASTER / MRT": "backbone.intermediate_getter.",
    "official Deformable DETR": "backbone.0.body.",
}


def published_family(names: Iterable[str]) -> str | None:
    """Find the family of checkpoints that the names belong to, in words; None if unknown."""
    names = set(names)
    if "transformer.level_embed" not in names:
        return None
    for family, prefix in _BACKBONE_PREFIXES.items():
        if any(name.startswith(prefix) for name in names):
            return family
    return "Deformable DETR without a backbone"


def belongs_to_training_stage(name: str) -> bool:
    """Tell whether a published parameter is the masked autoencoder's or a discriminator's.

    Published files of the MedMask line leave out every name with one of these two words.
    """
    return "mae" in name or "domain" in name


def detector_name(name: str, num_decoder_layers: int) -> str | None:
    """Find our name of a published parameter; None if no part of the detector is called so.

    Args:
        name: the published name, without ``module.``.
        num_decoder_layers: decoder layers of the published model.
    """
    for published_prefix, our_prefix in _prefixes(num_decoder_layers):
        match = published_prefix.match(name)
        if match:
            return match.expand(our_prefix) + name[match.end() :]
    return None


@functools.cache
def _prefixes(num_decoder_layers: int) -> list[tuple[re.Pattern, str]]:
    """Pairs (published prefix, our prefix); the rest of a name stays as it is."""
    # Models with box refinement list their heads a second time, inside the decoder.
    head = r"(?:transformer\.decoder\.)?"
    prefixes = {
        r"input_proj\.": r"neck.projections.",
        r"transformer\.level_embed$": r"transformer.level_embedding",
        r"query_embed\.": r"transformer.queries.embedding.",
        r"transformer\.reference_points\.": r"transformer.queries.reference_points.",
        r"transformer\.enc_output\.": r"transformer.proposals.projection.",
        r"transformer\.enc_output_norm\.": r"transformer.proposals.norm.",
        r"transformer\.pos_trans\.": r"transformer.proposals.query_projection.",
        r"transformer\.pos_trans_norm\.": r"transformer.proposals.query_norm.",
        # The heads after those of the decoder layers judge the encoder's proposals.
        rf"{head}class_embed\.{num_decoder_layers}\.": r"transformer.proposals.objectness_head.",
        rf"{head}bbox_embed\.{num_decoder_layers}\.": r"transformer.proposals.box_head.",
        rf"{head}class_embed\.(\d+)\.": r"transformer.decoder.class_heads.\1.",
        rf"{head}bbox_embed\.(\d+)\.": r"transformer.decoder.box_heads.\1.",
        **_layer_prefixes(),
        **_backbone_prefixes(),
    }
    return [(re.compile(published), ours) for published, ours in prefixes.items()]


def _layer_prefixes() -> dict[str, str]:
    """Encoder and decoder layers; a decoder layer's norms are not numbered in order of use."""
    parts = {
        "encoder": {
            r"self_attn": r"self_attention",
            r"norm1": r"norm",
            r"linear([12])": r"feed_forward.linear\2",
            r"norm2": r"feed_forward.norm",
        },
        "decoder": {
            r"self_attn": r"self_attention",
            r"norm2": r"self_norm",
            r"cross_attn": r"cross_attention",
            r"norm1": r"cross_norm",
            r"linear([12])": r"feed_forward.linear\2",
            r"norm3": r"feed_forward.norm",
        },
    }
    return {
        rf"transformer\.{stack}\.layers\.(\d+)\.{published}\.": (
            rf"transformer.{stack}.layers.\1.{ours}."
        )
        for stack, names in parts.items()
        for published, ours in names.items()
    }


def _backbone_prefixes() -> dict[str, str]:
    """From torchvision's ResNet, whose stages count from 1, to Detectron2's, from res2."""
    backbone = "(?:" + "|".join(re.escape(p) for p in _BACKBONE_PREFIXES.values()) + ")"
    prefixes = {
        rf"{backbone}conv1\.": r"backbone.stem.conv1.",
        rf"{backbone}bn1\.": r"backbone.stem.conv1.norm.",
    }
    for stage in (1, 2, 3, 4):
        block = rf"{backbone}layer{stage}\.(\d+)\."
        prefixes |= {
            rf"{block}conv(\d)\.": rf"backbone.res{stage + 1}.\1.conv\2.",
            rf"{block}bn(\d)\.": rf"backbone.res{stage + 1}.\1.conv\2.norm.",
            rf"{block}downsample\.0\.": rf"backbone.res{stage + 1}.\1.shortcut.",
            rf"{block}downsample\.1\.": rf"backbone.res{stage + 1}.\1.shortcut.norm.",
        }
    return prefixes
