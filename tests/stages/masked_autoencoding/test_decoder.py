import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.stages.masked_autoencoding import (
    MaskedAutoencoder,
    MaskedAutoencodingObjective,
    ReconstructionTarget,
)
from medmask.stages.masked_autoencoding.objective import reconstruction_loss

CHANNELS = {"res3": 48, "res4": 64, "res5": 96}
LEVELS = {"res3": 0, "res4": 1, "res5": 2}
BASE_SIZE = (8, 6)
MASKINGS = pytest.mark.parametrize("masking", ["independent", "aligned"])


@pytest.fixture
def make_autoencoder():
    """Builds one that fits the small detector."""

    def make(names=("res5",), **options):
        targets = {
            name: ReconstructionTarget(LEVELS[name], CHANNELS[name], BASE_SIZE) for name in names
        }
        sizes = {"embed_dim": 64, "num_heads": 4, "num_levels": 3, "num_points": 4}
        return MaskedAutoencoder(**{"targets": targets, "feed_forward_dim": 128} | sizes | options)

    return make


@pytest.fixture
def autoencoder(make_autoencoder):
    return make_autoencoder()


@pytest.fixture
def model(make_model, autoencoder):
    model = make_model()
    model.training_modules["masked_autoencoder"] = autoencoder
    return model


def make_objective(autoencoder, **options):
    options = {"masking": "independent", "mask_ratio": 0.8} | options
    return MaskedAutoencodingObjective(autoencoder, **options)


def encode(model, batch, hidden_ratio=0.6):
    tokens = model.extract_features(model.preprocess_image(batch))[1]
    hidden = (torch.rand(tokens.padding_mask.shape) < hidden_ratio) & ~tokens.padding_mask
    return tokens, hidden


def rebuild(model, tokens, hidden):
    memory = model.transformer.encode(tokens, hidden | tokens.padding_mask)
    return model.training_modules["masked_autoencoder"](memory, tokens, hidden)["res5"]


def replace_tokens(tokens, mask):
    noise = 9 * torch.randn_like(tokens.tokens)
    return dataclasses.replace(tokens, tokens=torch.where(mask[..., None], noise, tokens.tokens))


@torch.no_grad()
def test_what_is_hidden_or_padding_cannot_be_seen(model, make_input):
    """Nor does it move anything: not the output of any position, padding included."""
    tokens, hidden = encode(model, [make_input(100, 90), make_input(70, 128)])
    assert tokens.padding_mask.any()
    expected = rebuild(model, tokens, hidden)
    for unseen in (hidden, tokens.padding_mask):
        assert torch.equal(rebuild(model, replace_tokens(tokens, unseen), hidden), expected)
    visible = ~hidden & ~tokens.padding_mask
    assert not torch.equal(rebuild(model, replace_tokens(tokens, visible), hidden), expected)


@torch.no_grad()
def test_reference_points_do_not_depend_on_what_is_hidden(model, make_input):
    """Everything may be hidden: a ratio of what is visible would be zero."""
    tokens, _ = encode(model, [make_input(100, 90), make_input(70, 128)])
    assert rebuild(model, tokens, ~tokens.padding_mask).isfinite().all()


@torch.no_grad()
def test_hidden_position_is_queried_by_the_mask_query_and_visible_one_by_its_own(model, make_input):
    """Without layers the output is what the queries' contents are projected to."""
    autoencoder = model.training_modules["masked_autoencoder"]
    autoencoder.layers = torch.nn.ModuleList()
    tokens, hidden = encode(model, [make_input(256, 192), make_input(200, 192)])
    output = rebuild(model, tokens, hidden)
    unknown = tokens.split_levels(hidden | tokens.padding_mask)[2]
    project = autoencoder.output_projections["res5"]
    for image, row, column in torch.cartesian_prod(*map(torch.arange, unknown.shape)).tolist():
        if unknown[image, row, column]:
            content = autoencoder.mask_query[0]
        else:
            content = autoencoder.queries["res5"][row * BASE_SIZE[1] + column, 64:]
        assert_close(output[image, :, row, column], project(content), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 6), (16, 12), (5, 7), (1, 1), (8, 7)])
def test_learned_queries_are_interpolated_between_their_positions(make_autoencoder, size):
    """A ramp stays a ramp between the centres of the outermost positions."""
    autoencoder = make_autoencoder()
    (h, w), (rows, columns) = size, BASE_SIZE
    y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(BASE_SIZE)
    x = ((torch.arange(columns) + 0.5) / columns).expand(BASE_SIZE)
    autoencoder.queries["res5"][:, 0] = y.flatten()
    autoencoder.queries["res5"][:, 1] = x.flatten()
    queries = autoencoder._queries_of_size("res5", size)
    for channel, n, base in ((0, h, rows), (1, w, columns)):
        centres = ((torch.arange(n) + 0.5) / n).clamp(0.5 / base, 1 - 0.5 / base)
        expected = centres[:, None].expand(size) if channel == 0 else centres.expand(size)
        assert_close(queries[:, channel], expected.flatten())


@pytest.mark.parametrize(("size", "embed_dim"), [((8, 6), 64), ((25, 42), 256)])
def test_fresh_queries_look_where_they_stand(size, embed_dim):
    autoencoder = MaskedAutoencoder(
        targets={"res5": ReconstructionTarget(2, 8, size)},
        embed_dim=embed_dim,
        num_heads=4,
        num_levels=3,
        num_points=4,
        feed_forward_dim=8,
    )
    with torch.no_grad():
        positions = autoencoder.queries["res5"][:, :embed_dim]
        points = autoencoder.reference_points(positions).sigmoid().view(*size, 2)
    h, w = size
    for row in range(h):
        for column in range(w):
            x, y = points[row, column].tolist()
            assert abs(x * w - 0.5 - column) < 1
            assert abs(y * h - 0.5 - row) < 1


@MASKINGS
@pytest.mark.parametrize("scope", ["hidden", "all"])
def test_images_of_any_size_and_mixture(model, autoencoder, make_input, masking, scope):
    """In one batch and from batch to batch; down to a single token of the target's level."""
    objective = make_objective(autoencoder, masking=masking, scope=scope)
    for sizes in (
        [(64, 48)],
        [(100, 90), (71, 128)],
        [(33, 47), (256, 192)],
        [(9, 200)],
        [(5, 7), (6, 5)],
    ):
        batch = [make_input(*size) for size in sizes]
        loss = model(batch, objective=objective)["loss_mae"]
        assert loss.shape == ()
        assert loss.isfinite()


def test_no_boxes_are_needed(model, autoencoder, make_input):
    sample = make_input(64, 48)
    del sample["instances"]
    assert model([sample], objective=make_objective(autoencoder))["loss_mae"].isfinite()


@MASKINGS
def test_gradients_reach_all_that_takes_part(model, autoencoder, make_input, masking):
    """Sampling offsets have a gradient only where values differ, hence the random weights."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    batch = [make_input(128, 96), make_input(100, 96)]
    objective = make_objective(autoencoder, masking=masking, mask_ratio=0.5)
    model(batch, objective=objective)["loss_mae"].backward()
    parts = ("backbone.", "neck.", "transformer.encoder.", "transformer.level_embedding")
    parts += ("training_modules.masked_autoencoder.",)
    for name, parameter in model.named_parameters():
        if name.startswith(parts):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_every_parameter_takes_part_even_if_all_is_hidden(model, autoencoder, make_input):
    """One token a level: nothing is visible, but distributed training waits for a gradient."""
    batch = [make_input(8, 8), make_input(8, 8)]
    model(batch, objective=make_objective(autoencoder))["loss_mae"].backward()
    assert all(p.grad is not None for p in autoencoder.parameters())


def test_target_gets_no_gradient(model, autoencoder, make_input):
    """With the way through the tokens closed, nothing reaches the backbone."""
    features = {}
    model.backbone.register_forward_hook(lambda module, inputs, output: features.update(output))
    extract = model.extract_features

    def extract_detached(images):
        maps, tokens = extract(images)
        return maps, dataclasses.replace(tokens, tokens=tokens.tokens.detach())

    model.extract_features = extract_detached
    result = make_objective(autoencoder).reconstruct(model, [make_input(128, 96)])
    assert torch.equal(result.targets["res5"], features["res5"])
    model([make_input(128, 96)], objective=make_objective(autoencoder))["loss_mae"].backward()
    assert all(p.grad is None for p in model.backbone.parameters())


def test_detection_decoder_does_not_run(model, autoencoder, make_input):
    def fail(*args):
        raise AssertionError("the decoder ran")

    model.transformer.decoder.register_forward_pre_hook(fail)
    model([make_input(64, 48)], objective=make_objective(autoencoder))


@torch.no_grad()
def test_loss_counts_hidden_positions_without_padding(model, autoencoder, make_input):
    batch = [make_input(256, 192), make_input(130, 192), make_input(256, 100)]

    def run(objective, compute):
        torch.manual_seed(3)
        return compute(objective)

    result = run(make_objective(autoencoder), lambda o: o.reconstruct(model.train(), batch))
    output, target = result.reconstructions["res5"], result.targets["res5"]
    for scope in ("hidden", "all"):
        means = []
        for image in range(3):
            errors = []
            rows, columns = (math.ceil(n / 32) for n in result.image_sizes[image])
            for row in range(rows):
                for column in range(columns):
                    if scope == "all" or result.hidden["res5"][image, row, column]:
                        at = (image, slice(None), row, column)
                        errors.append((output[at] - target[at]).square().mean().item())
            means.append(sum(errors) / len(errors))
        loss = run(
            make_objective(autoencoder, scope=scope, weight=2.0),
            lambda o: model(batch, objective=o),
        )
        assert loss["loss_mae"].item() == pytest.approx(2 * sum(means) / 3, rel=1e-4)


def test_nothing_to_count_is_no_error():
    maps = torch.randn(2, 3, 4, 5)
    assert reconstruction_loss(maps, maps + 1, torch.zeros(2, 4, 5, dtype=torch.bool)) == 0


def test_several_maps_are_rebuilt(make_model, make_autoencoder, make_input):
    model = make_model()
    autoencoder = make_autoencoder(["res3", "res5"])
    result = make_objective(autoencoder).reconstruct(
        model, [make_input(128, 96), make_input(100, 70)]
    )
    for name, size in {"res3": (16, 12), "res5": (4, 3)}.items():
        assert result.reconstructions[name].shape == (2, CHANNELS[name], *size)
        assert result.targets[name].shape == result.reconstructions[name].shape
        assert result.hidden[name].shape == result.padding[name].shape == (2, *size)


def test_reconstruction_is_learned(model, autoencoder, make_input):
    """Of a fixed image, hidden positions included; the mean of the map is a poor answer."""
    model.requires_grad_(False)
    model.transformer.encoder.requires_grad_(True)
    model.training_modules["masked_autoencoder"].requires_grad_(True)
    batch = [make_input(128, 96)]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    objective = make_objective(autoencoder, mask_ratio=0.5)
    for _ in range(80):
        optimizer.zero_grad()
        model(batch, objective=objective)["loss_mae"].backward()
        optimizer.step()
    target = objective.reconstruct(model, batch).targets["res5"]
    with torch.no_grad():
        losses = [model(batch, objective=objective)["loss_mae"].item() for _ in range(8)]
    assert sum(losses) / 8 < 0.3 * target.var((2, 3)).mean()


def test_mixed_precision_comes_near_full_precision(model, autoencoder, make_input):
    batch = [make_input(128, 96), make_input(100, 96)]

    def run():
        torch.manual_seed(1)
        return model(batch, objective=make_objective(autoencoder))["loss_mae"]

    full = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run()
    assert half.dtype == torch.float32
    assert_close(half, full, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"masking": "alligned"}, "aligned"), ({"scope": "visible"}, "hidden")],
)
def test_unknown_choice_names_the_known_ones(autoencoder, options, words):
    with pytest.raises(InputError, match=words):
        make_objective(autoencoder, **options)
