"""From the parameters of a published checkpoint to those of our detector.

Read are state dicts of the MedMask / D-MASTER / MRT line, of official Deformable DETR and of
Hugging Face transformers' Deformable DETR: plain, with iterative box refinement, and two-stage.
Tensors keep their values and their order (heads, levels, points, xy; the first half of a query is
its position, the second half its content). Three things differ besides the names:

* Without box refinement all decoder layers share one class head and one box head. Published files
  hold a copy for each layer; our detector has one.
* Published class heads of the MedMask line have a row for every label id from 0 on, and ids begin
  with 1: row 0 is of no class, row 1 is ``malignant``. Ours have a row for each class. Each row is
  a classifier of its own (sigmoid, focal loss), so rows can be taken by themselves.
* The published two-stage detector ranks its proposals by the first output of a class head, which
  is trained as objectness; our objectness head has this output only.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medmask.checkpoint.class_rows import check_class_rows
from medmask.checkpoint.published_names import (
    belongs_to_training_stage,
    detector_name,
    published_family,
)
from medmask.checkpoint.state_dict import without_module_prefix
from medmask.checkpoint.transformers_names import is_from_transformers, with_official_names
from medmask.errors import InputError
from medmask.modeling.weights import CLASS_HEADS, COUNTER, name_first, why_not

BOX_HEADS = "transformer.decoder.box_heads."
DECODER_LAYERS = "transformer.decoder.layers."
OBJECTNESS_HEAD = "transformer.proposals.objectness_head."
TRANSFORMERS = "Hugging Face transformers' Deformable DETR (names below are the official release's)"
_PUBLISHED_HEAD = re.compile(r"(?P<head>class|bbox)_embed\.(?P<layer>\d{1,4})\.(?P<rest>.+)")


@dataclass(frozen=True)
class SkippedParameter:
    """A published parameter of the detector that the model has no use for."""

    name: str
    our_name: str
    reason: str


@dataclass(frozen=True)
class Conversion:
    """Converted parameters, and the fate of every published name."""

    family: str
    """family of published checkpoints, in words"""
    state_dict: dict[str, Tensor]
    """our name -> value, of the shape that the model has"""
    mapped: dict[str, str]
    """published name -> our name, of the parameters in use and of copies equal to them"""
    missing: list[str]
    """our names that the file does not fill"""
    skipped: list[SkippedParameter]
    training_stages: list[str]
    """published names of the masked autoencoder and the discriminators: not in the detector"""
    unexpected: list[str]
    """published names of nothing that we know"""
    warnings: list[str]
    """sentences on what makes the converted detector another than the published one"""

    @property
    def skipped_class_heads(self) -> list[SkippedParameter]:
        """Published class heads that do not fit, as those of other classes do not."""
        return [s for s in self.skipped if s.our_name.startswith(CLASS_HEADS)]

    @property
    def missing_class_heads(self) -> list[str]:
        """Our class heads that the file has for another number of classes."""
        skipped = {parameter.our_name for parameter in self.skipped_class_heads}
        return [name for name in self.missing if name in skipped]

    @property
    def is_complete(self) -> bool:
        """True if the file fills the model."""
        return not self.missing


def convert_checkpoint(
    published: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    class_rows: Sequence[int] | None = None,
) -> Conversion:
    """Rename the parameters of a published checkpoint.

    Counters of BatchNorm steps (``num_batches_tracked``) are zero in the result, whatever the file
    has: no detector depends on them.

    Args:
        published: published name -> tensor; all names may begin with ``module.``, as they do in
            models saved inside DistributedDataParallel. Those of transformers' Deformable DETR
            are told, in the result, by the official release's names.
        target: the state dict of the model to fill, whose names and shapes decide.
        class_rows: for each class of the model, its row in the published class heads; None if they
            are the same.

    Returns:
        The parameters that fit, and a report on those that do not.

    Raises:
        InputError: the names belong to no family that we know, or ``class_rows`` do not fit the
            published class heads or the model's.
    """
    published = without_module_prefix(published)
    family = published_family(published)
    if is_from_transformers(published):
        family = TRANSFORMERS
        published = with_official_names(published)
    if family is None:
        raise InputError(_describe_unknown(published))
    num_layers = _count(published, DECODER_LAYERS)
    shares_heads = _count(target, CLASS_HEADS) < _count(target, DECODER_LAYERS)

    candidates, training_stages, unexpected = _sort_names(published, num_layers, shares_heads)
    if class_rows is not None:
        check_class_rows(class_rows, candidates, published, target)
    state_dict, mapped, skipped = _fill(candidates, published, target, class_rows)
    state_dict |= {n: torch.zeros_like(x) for n, x in target.items() if n.endswith(COUNTER)}
    return Conversion(
        family=family,
        state_dict=state_dict,
        mapped=mapped,
        missing=[n for n in target if n not in state_dict],
        skipped=skipped,
        training_stages=training_stages,
        unexpected=unexpected,
        warnings=_compare_architectures(published, target, num_layers, shares_heads),
    )


def _sort_names(
    published: Iterable[str], num_layers: int, shares_heads: bool
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Published names by our name (heads have copies), of training stages, and unknown ones."""
    candidates: dict[str, list[str]] = {}
    training_stages, unexpected = [], []
    for name in published:
        our_name = detector_name(name, num_layers)
        if name.endswith(COUNTER):
            continue
        if belongs_to_training_stage(name):
            training_stages.append(name)
        elif our_name is None:
            unexpected.append(name)
        else:
            if shares_heads and our_name.startswith((CLASS_HEADS, BOX_HEADS)):
                our_name = re.sub(r"(?<=_heads\.)\d+", "0", our_name)
            candidates.setdefault(our_name, []).append(name)
    return candidates, training_stages, unexpected


def _fill(
    candidates: Mapping[str, list[str]],
    published: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    class_rows: Sequence[int] | None,
) -> tuple[dict[str, Tensor], dict[str, str], list[SkippedParameter]]:
    """Our state dict, published name -> our name for what is in it, and what is not."""
    state_dict, mapped, skipped = {}, {}, []
    for our_name, names in candidates.items():
        values = {name: _our_value(our_name, published[name], class_rows) for name in names}
        taken = max(names, key=_head_layer)  # the last layer gives the detector's answer
        for name, value in values.items():
            reason = _why_not(our_name, value, target.get(our_name))
            if not reason and not torch.equal(value, values[taken]):
                reason = f"its copy {taken} was taken, and differs"
            if reason:
                skipped.append(SkippedParameter(name, our_name, reason))
            else:
                mapped[name] = our_name
                state_dict[our_name] = value
    return state_dict, mapped, skipped


def _our_value(our_name: str, value: Tensor, class_rows: Sequence[int] | None) -> Tensor:
    # Copies: a slice would be saved with all the memory that it is a part of.
    if our_name.startswith(OBJECTNESS_HEAD) and value.dim():
        return value[:1].clone()
    if our_name.startswith(CLASS_HEADS) and class_rows is not None:
        return value[list(class_rows)]
    return value


def _why_not(our_name: str, value: Tensor, expected: Tensor | None) -> str | None:
    """Explain why a published value does not fit the model's parameter; None if it does."""
    if expected is None:
        return "the model has no such parameter"
    return why_not(our_name, value, expected)


def _compare_architectures(
    published: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    num_layers: int,
    shares_heads: bool,
) -> list[str]:
    """Sentences on the options in which the published model and ours differ."""
    warnings = []
    heads_agree = _heads_agree(published, num_layers)
    if shares_heads and not heads_agree:
        warnings.append(
            "the decoder layers' heads in the file differ from each other, as iterative box "
            "refinement leaves them, but the model shares the last layer's: set "
            "model.transformer.box_refinement=True"
        )
    if heads_agree and not shares_heads and num_layers > 1:
        warnings.append(
            "all decoder layers have the same heads in the file, as training without iterative "
            "box refinement leaves them, but the model refines boxes: set "
            "model.transformer.box_refinement=False"
        )
    two_stage = any(name.startswith("transformer.enc_output.") for name in published)
    if two_stage != any(name.startswith(OBJECTNESS_HEAD) for name in target):
        warnings.append(
            f"the file's detector has {'two stages' if two_stage else 'one stage'}, the model has "
            f"not: set model.transformer.two_stage={two_stage}"
        )
    return warnings


def _heads_agree(published: Mapping[str, Tensor], num_layers: int) -> bool:
    """Tell whether every decoder layer of the published model has the same heads."""
    first: dict[tuple[str, str], Tensor] = {}
    for name, value in published.items():
        match = _PUBLISHED_HEAD.search(name)
        if match and int(match["layer"]) < num_layers:
            part = match["head"], match["rest"]
            if not torch.equal(value, first.setdefault(part, value)):
                return False
    return True


def _head_layer(name: str) -> int:
    """The decoder layer whose head a published parameter is part of; -1 for other parameters."""
    match = _PUBLISHED_HEAD.search(name)
    return int(match["layer"]) if match else -1


def _count(names: Iterable[str], prefix: str) -> int:
    """Members of the module list whose parameters are called ``{prefix}{index}...``."""
    indices = (name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix))
    return len(set(indices))


def _describe_unknown(published: Mapping[str, Tensor]) -> str:
    if "transformer.level_embedding" in published:
        return "its parameters have MedMask's own names already: use it as train.init_checkpoint"
    examples = name_first(list(published)) or "none"
    return (
        "its parameters are named neither as in MedMask / D-MASTER / MRT checkpoints nor as in "
        "Deformable DETR ones, official or of Hugging Face transformers' "
        f"DeformableDetrForObjectDetection (the first are: {examples})"
    )
