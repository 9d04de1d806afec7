import pytest

from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder, ReconstructionTarget

CHANNELS = {"res3": 48, "res4": 64, "res5": 96}
LEVELS = {"res3": 0, "res4": 1, "res5": 2}


@pytest.fixture
def make_autoencoder():
    """Builds one that fits the small detector."""

    def make(names=("res5",), base_size=(8, 6)):
        targets = {
            name: ReconstructionTarget(LEVELS[name], CHANNELS[name], base_size) for name in names
        }
        return MaskedAutoencoder(
            targets=targets,
            embed_dim=64,
            num_heads=4,
            num_levels=3,
            num_points=4,
            feed_forward_dim=128,
        )

    return make


@pytest.fixture
def autoencoder(make_autoencoder):
    return make_autoencoder()


@pytest.fixture
def model(make_model, autoencoder):
    """The small detector with the autoencoder among its training modules."""
    model = make_model()
    model.training_modules["masked_autoencoder"] = autoencoder
    return model
