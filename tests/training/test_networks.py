from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from fewflips.errors import InputError  # noqa: E402
from fewflips.training.networks import build_network  # noqa: E402
from fewflips.training.networks.blocks import MAX_PARAMETERS, ConvUnit  # noqa: E402
from fewflips.training.networks.mobilenet_v2 import _parameters  # noqa: E402
from tests.training.frozen_figures import deviations, frozen_figures  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def units(network):
    return {name: module.conv for name, module in network.named_modules() if isinstance(module, ConvUnit)}


def feature_sizes(network, size: int, channels: int = 3) -> list[int]:
    x = torch.zeros(1, channels, size, size)
    network.eval()
    sizes = []
    with torch.no_grad():
        for layer in network.features:
            x = layer(x)
            sizes.append(x.shape[2])
    return sizes


def test_mobilenet_starts_with_the_weights_of_an_independent_trainer():
    expected = frozen_figures()["initial"]
    torch.manual_seed(expected["seed"])
    network = build_network("mobilenet_v2", width=expected["width"]).eval()
    assert torch.rand(1).item() == pytest.approx(expected["next_random_number"], rel=1e-6)
    assert max(deviations(network.state_dict(), expected["tensors"])) < 1e-5
    scores = network(torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32))[0]
    assert scores.tolist() == pytest.approx(expected["scores"], abs=1e-5)


def test_mobilenet_at_full_width_has_the_layers_of_the_paper():
    with torch.device("meta"):
        network = build_network("mobilenet_v2", width=1.0, classes=1000)
    found = units(network)
    assert len(found) == 52
    assert found["features.17.project"].out_channels == 320
    assert found["features.18"].out_channels == 1280
    assert found["features.17.depthwise"].groups == 960
    # torchvision's mobilenet_v2 has 3 504 872 parameters; batch normalization has two for each output channel
    assert sum(p.numel() for p in network.parameters()) == 3_504_872


def test_strides_of_both_layouts():
    early = feature_sizes(build_network("mobilenet_v2", width=0.25), 32)
    late = feature_sizes(build_network("mobilenet_v2", width=0.25, early_strides=False), 32)
    assert (early[0], early[-1]) == (16, 4)
    assert (late[0], late[-1]) == (32, 4)
    assert sum(size**2 for size in late) > 3 * sum(size**2 for size in early)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_resnet_has_the_size_of_the_paper(depth, millions):
    """Table 6 of He et al.; their shortcuts have no parameters, the two projections do."""
    network = build_network("resnet", depth=depth)
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)
    assert abs(sum(p.numel() for p in network.parameters()) - projections - millions * 1e6) < 0.005e6
    assert len(units(network)) + 1 == depth + 2
    assert feature_sizes(network, 32)[-1] == 8


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet"])
def test_grey_images_of_other_sizes_and_other_classes(name):
    network = build_network(name, width=0.25, classes=7, image_size=28, channels=1)
    assert network(torch.randn(2, 1, 28, 28)).shape == (2, 7)
    assert network.input_shape == (1, 28, 28)


def test_a_shortcut_is_added_before_the_activation_function():
    block = build_network("resnet", depth=8, width=0.5).features[2].eval()
    x = torch.randn(2, 8, 8, 8)
    first = torch.relu(block.first.bn(block.first.conv(x)))
    expected = torch.relu(block.shortcut.bn(block.shortcut.conv(x)) + block.second.bn(block.second.conv(first)))
    torch.testing.assert_close(block(x), expected)


def test_parameters_are_counted_without_building():
    with torch.device("meta"):
        network = build_network("mobilenet_v2", width=0.75, classes=11, channels=1)
    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert _parameters(0.75, 11, 1) == weights


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "vgg"}, "expected one of mobilenet_v2, resnet, got 'vgg'"),
        ({"name": "mobilenet_v2", "width": 0.0}, "width"),
        ({"name": "mobilenet_v2", "width": -1.0}, "width"),
        ({"name": "resnet", "width": math.nan}, "width"),
        ({"name": "mobilenet_v2", "width": 8.0}, f"at most {MAX_PARAMETERS // 10**6} million"),
        ({"name": "resnet", "width": 50.0}, "million parameters"),
        ({"name": "resnet", "depth": 21}, "6 n + 2"),
        ({"name": "resnet", "depth": 2}, "6 n + 2"),
        ({"name": "mobilenet_v2", "depth": 20}, "leave it out"),
        ({"name": "resnet", "early_strides": True}, "leave it out"),
        ({"name": "mobilenet_v2", "image_size": 7}, "at least 8 pixels"),
        ({"name": "resnet", "image_size": 3}, "at least 4 pixels"),
        ({"name": "resnet", "classes": 1}, "classes"),
        ({"name": "resnet", "channels": 0}, "channels"),
    ],
)
def test_impossible_networks_are_refused_in_one_line(arguments, text):
    with pytest.raises(InputError, match=text.replace("+", r"\+")) as caught:
        build_network(**arguments)
    assert "\n" not in str(caught.value)
