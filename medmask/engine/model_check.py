"""Checking that the parts of a detector fit each other, before the first image shows it."""

from torch import nn

from medmask.errors import InputError
from medmask.modeling import MedMask


def check_parts_fit(model: nn.Module) -> None:
    """Check the sizes of what backbone, neck and transformer of a detector hand on.

    Args:
        model: a detector; one of another kind than :class:`MedMask` is passed over.

    Raises:
        InputError: sizes differ; names the config's keys.
    """
    if not isinstance(model, MedMask):
        return
    shapes = model.backbone.output_shape()
    for name, projection in zip(model.neck.in_features, model.neck.projections, strict=False):
        if name not in shapes:
            raise InputError(
                f"model.neck.in_channels names {name}, which the backbone does not give; it gives "
                f"{', '.join(shapes)}"
            )
        expected, given = projection[0].in_channels, shapes[name].channels
        if expected != given:
            raise InputError(
                f"model.neck.in_channels.{name} is {expected}, but the backbone gives {given} "
                "channels"
            )
    num_levels, embed_dim = model.transformer.level_embedding.shape
    for key, ours, theirs in (
        ("num_levels", len(model.neck.projections), num_levels),
        ("out_channels", model.neck.projections[0][0].out_channels, embed_dim),
    ):
        if ours != theirs:
            name = "embed_dim" if key == "out_channels" else key
            raise InputError(
                f"model.neck.{key} is {ours}, but model.transformer.{name} is {theirs}: they must "
                "be equal"
            )
