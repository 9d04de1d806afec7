"""Same weights in, same numbers out: the masked autoencoder against a public implementation."""

import pytest
import torch
from torch.testing import assert_close

from medmask.checkpoint.published_names import detector_name
from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder, ReconstructionTarget

TOLERANCE = {"rtol": 0, "atol": 1e-4}
PUBLISHED = "transformer.mae_decoder."


def our_name(published, target):
    """Name of a published parameter of the masked autoencoder's decoder that rebuilds one map."""
    name = published.removeprefix(PUBLISHED)
    if name.startswith("layers."):  # they are layers like those of the detection decoder
        renamed = detector_name(f"transformer.decoder.{name}", num_decoder_layers=0)
        return renamed.removeprefix("transformer.decoder.")
    return {
        "mask_query.weight": "mask_query",
        "query_embed_list.0.weight": f"queries.{target}",
        "reference_points.weight": "reference_points.weight",
        "reference_points.bias": "reference_points.bias",
        "output_proj.0.weight": f"output_projections.{target}.weight",
        "output_proj.0.bias": f"output_projections.{target}.bias",
    }[name]


@pytest.fixture(scope="module")
def autoencoder(reference, reference_model):
    meta, published = reference["meta"], reference["state_dict"]
    (level,) = meta["mae_layers"]
    channels, *base_size = reference["features"][level].shape[1:]
    first_layer = reference_model.transformer.decoder.layers[0]
    autoencoder = MaskedAutoencoder(
        targets={f"map{level}": ReconstructionTarget(level, channels, base_size)},
        embed_dim=meta["hidden_dim"],
        num_heads=meta["num_heads"],
        num_levels=meta["num_feature_levels"],
        num_points=first_layer.cross_attention.num_points,
        feed_forward_dim=meta["feedforward_dim"],
    )
    renamed = {
        our_name(name, f"map{level}"): value
        for name, value in published.items()
        if name.startswith(PUBLISHED)
    }
    autoencoder.load_state_dict(renamed, strict=True)
    return autoencoder.eval()


@torch.no_grad()
def test_reconstruction_is_the_same(reference, reference_model, reference_images, autoencoder):
    (level,) = reference["meta"]["mae_layers"]
    masked = torch.cat([mask.flatten(1) for mask in reference["mae_masks"]], dim=1)
    features = reference_model.backbone(reference_images.tensor)
    tokens = reference_model.make_tokens(reference_model.neck(features), reference_images)
    memory = reference_model.transformer.encode(tokens, masked)
    output = autoencoder(memory, tokens, masked)[f"map{level}"]
    (expected,) = reference["mae_output"]
    assert_close(output, expected, **TOLERANCE)
    mse = torch.nn.functional.mse_loss(output, reference["features"][level])
    assert_close(mse, reference["mae_mse_all_positions"], **TOLERANCE)
