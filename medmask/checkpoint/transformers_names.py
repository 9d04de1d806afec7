"""From the names of Hugging Face transformers' Deformable DETR to those of the official release.

The models are one; transformers splits the projection of self-attention in three, and its files
leave out heads that are the same for all decoder layers but for the first layer's.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_MARK = "model.level_embed"
_QUERY_KEY_VALUE = re.compile(r"(?P<attention>.+\.self_attn\.)q_proj\.(?P<kind>weight|bias)")
_DECODER_LAYER = re.compile(r"transformer\.decoder\.layers\.(\d{1,4})\.")
_FIRST_HEAD = re.compile(r"(?P<prefix>(?:.+\.)?(?:class|bbox)_embed\.)0\.(?P<rest>.+)")

# The rest of a name stays as it is. Files of transformers 5 and models in memory differ in some.
_SPELLINGS = [
    (r"^model\.backbone\.(?:conv_encoder\.)?model\.", "backbone.0.body."),
    (r"^model\.query_position_embeddings\.", "query_embed."),
    (r"^model\.input_proj\.", "input_proj."),
    (r"^model\.", "transformer."),
    (r"(\.layers\.\d+)\.(?:mlp\.)?fc([12])\.", r"\1.linear\2."),
    (r"(\.layers\.\d+\.self_attn)\.o_proj\.", r"\1.out_proj."),
    (r"(\.decoder\.layers\.\d+)\.encoder_attn\.", r"\1.cross_attn."),
    (r"(\.decoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.norm2."),
    (r"(\.decoder\.layers\.\d+)\.encoder_attn_layer_norm\.", r"\1.norm1."),
    (r"(\.decoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm3."),
    (r"(\.encoder\.layers\.\d+)\.self_attn_layer_norm\.", r"\1.norm1."),
    (r"(\.encoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm2."),
]
_WORDS = [(re.compile(theirs), official) for theirs, official in _SPELLINGS]


def is_from_transformers(names: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of transformers' ``DeformableDetrForObjectDetection``."""
    return _MARK in names


def with_official_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of transformers' Deformable DETR as in the official release.

    Args:
        weights: of ``DeformableDetrForObjectDetection``, with a ResNet of timm as its backbone (as
            published ones have), from its state dict or from its file.

    Returns:
        Official name -> tensor. Names of nothing that we know stay as they are.
    """
    renamed = {_official_name(name): value for name, value in weights.items()}
    _join_query_key_value(renamed)
    _repeat_first_heads(renamed)
    return renamed


def _official_name(name: str) -> str:
    for theirs, official in _WORDS:
        name = theirs.sub(official, name)
    return name


def _join_query_key_value(weights: dict[str, Tensor]) -> None:
    """Replace the three projections of each self-attention by one, ``in_proj_weight`` (3C, C)."""
    for match in filter(None, map(_QUERY_KEY_VALUE.fullmatch, list(weights))):
        names = [f"{match['attention']}{letter}_proj.{match['kind']}" for letter in "qkv"]
        parts = [weights[name] for name in names if name in weights]
        if len(parts) == len(names) and len({part.shape[1:] for part in parts}) == 1:
            for name in names:
                del weights[name]
            weights[f"{match['attention']}in_proj_{match['kind']}"] = torch.cat(parts)


def _repeat_first_heads(weights: dict[str, Tensor]) -> None:
    """Give each decoder layer whose head is absent the first layer's."""
    layers = {int(match[1]) for match in map(_DECODER_LAYER.match, weights) if match}
    for name in list(weights):
        if match := _FIRST_HEAD.fullmatch(name):
            for layer in layers:
                weights.setdefault(f"{match['prefix']}{layer}.{match['rest']}", weights[name])
