from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from fewflips.bundled import bundled_model  # noqa: E402
from fewflips.errors import InputError, ModelError  # noqa: E402
from fewflips.training.export.onnx_export import to_onnx, write_onnx  # noqa: E402
from fewflips.training.networks import build_network  # noqa: E402
from fewflips.training.quantization.initial_weights import load_onnx_weights, range_of  # noqa: E402
from fewflips.training.quantization.quantize import quantize  # noqa: E402
from fewflips.training.quantization.quantized_layers import ActivationQuantizer, quantized_weights  # noqa: E402
from tests.training.layer_by_layer import assert_same_layers, compare_layers  # noqa: E402
from tests.training.trained_networks import images, quantized_network  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def bundled():
    with bundled_model() as paths:
        yield paths


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    write_onnx(to_onnx(quantized_network("resnet", images(8), {"*": 6}, width=0.5, depth=8)), path)
    return path


def constants(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def empty(**options) -> torch.nn.Module:
    settings = {"width": 0.5, "depth": 8} | options
    return quantize(build_network("resnet", **settings), weight_bits=6)


@pytest.mark.parametrize("optimized", [False, True])
def test_the_bundled_network_computes_the_same_in_torch(bundled, optimized):
    model, samples = bundled
    network = quantize(build_network("mobilenet_v2", width=0.5)).eval()
    load_onnx_weights(network, model)
    with np.load(samples) as archive:
        x = torch.from_numpy(archive["input"])
    assert_same_layers(network, onnx.load(model), x, optimized=optimized)


def test_a_weight_that_is_one_step_off_is_seen(bundled):
    model, samples = bundled
    network = quantize(build_network("mobilenet_v2", width=0.5)).eval()
    load_onnx_weights(network, model)
    layer = quantized_weights(network)["features.9.project"]
    layer.code_shift = torch.zeros_like(layer.weight)
    layer.code_shift[3, 5] = 1.0
    with np.load(samples) as archive:
        x = torch.from_numpy(archive["input"])
    assert compare_layers(network, onnx.load(model), x, optimized=False).differing > 0


def test_the_bundled_network_is_exported_as_it_was_read(bundled):
    model, _ = bundled
    network = quantize(build_network("mobilenet_v2", width=0.5))
    load_onnx_weights(network, model)
    ours, theirs = to_onnx(network), onnx.load(model)
    assert list(ours.graph.node) == list(theirs.graph.node)
    mine, before = constants(ours), constants(theirs)
    assert list(mine) == list(before)
    assert all(np.array_equal(values, before[name]) for name, values in mine.items())


def test_what_export_wrote_is_read_back(small):
    network = empty()
    load_onnx_weights(network, small)
    mine, before = constants(to_onnx(network)), constants(onnx.load(small))
    assert [name for name, values in mine.items() if not np.array_equal(values, before[name])] == []


def test_ranges_give_back_scale_and_zero_point_exactly():
    generator = np.random.default_rng(0)
    for _ in range(500):
        low, high = -generator.exponential() * generator.integers(0, 2), generator.exponential()
        first = ActivationQuantizer().fix(low, high)
        scale, zero_point = (value.numpy() for value in first.scale_and_zero_point())
        second = ActivationQuantizer().fix(*range_of(np.float32(scale), int(zero_point)))
        assert second.grid == first.grid


def test_training_goes_on_from_the_ranges_of_the_file(small):
    network = empty()
    load_onnx_weights(network, small)
    quantizer = network.features[0].output
    start = float(quantizer.high)
    network.train()
    for _ in range(10):
        network(images(4) * 3)
    assert start < float(quantizer.high) < 1.5 * start
    assert network.input.frozen
    network(images(4)).sum().backward()
    assert network.features[0].weight.grad.any()


def test_fewer_bits_than_in_the_file_get_scales_of_their_own(small):
    network = quantize(build_network("resnet", width=0.5, depth=8), weight_bits=3)
    load_onnx_weights(network, small)
    codes = constants(onnx.load(small))["features.1.first.weight.codes"]
    layer = quantized_weights(network)["features.1.first"]
    assert np.abs(codes).max() > 3
    assert int(layer.integer_codes().abs().max()) == 3
    error = (layer.fake_quantized() - layer.weight).detach().norm() / layer.weight.detach().norm()
    assert float(error) < 0.35


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 1.0}, r"'features.0': expected weights of shape \[16, 3, 3, 3\], got \[8, 3, 3, 3\]"),
        ({"channels": 1}, r"'features.0': expected weights of shape \[8, 1, 3, 3\], got \[8, 3, 3, 3\]"),
        ({"depth": 14}, r"'features.2.first'.*\[8, 8, 3, 3\], got \[16, 8, 3, 3\]"),
        ({"classes": 5}, r"'classifier': expected weights of shape \[5, 32\], got \[10, 32\]"),
    ],
)
def test_another_architecture_is_refused_with_both_shapes(small, options, text):
    network = empty(**options)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=text) as caught:
        load_onnx_weights(network, small)
    assert "\n" not in str(caught.value)
    after = network.state_dict()
    assert all(torch.equal(value.nan_to_num(), after[name].nan_to_num()) for name, value in before.items())


def test_other_strides_are_refused(bundled):
    network = quantize(build_network("mobilenet_v2", width=0.5, early_strides=False))
    with pytest.raises(InputError, match=r"'features.0' of shape \[16, 3, 3, 3\]: expected strides \(1, 1\), got"):
        load_onnx_weights(network, bundled[0])


def test_layers_that_are_missing_or_surplus_are_named(small):
    network = build_network("mobilenet_v2", width=0.25, early_strides=False)
    with pytest.raises(InputError, match=r"'features.1.depthwise' of shape \[8, 1, 3, 3\] is not in the file"):
        load_onnx_weights(quantize(network), small)
    network = empty()
    del network.features[3].shortcut
    network.features[3].shortcut = None
    with pytest.raises(InputError, match=r"'features.3.shortcut' of shape \[32, 16, 1, 1\] is not in the network"):
        load_onnx_weights(network, small)


def test_damaged_files_and_float_networks_are_refused(small, tmp_path):
    with pytest.raises(InputError, match=r"quantize\(\)"):
        load_onnx_weights(build_network("resnet", depth=8, width=0.5), small)
    (tmp_path / "cut.onnx").write_bytes(small.read_bytes()[:1000])
    with pytest.raises(ModelError):
        load_onnx_weights(empty(), tmp_path / "cut.onnx")
    with pytest.raises(ModelError):
        load_onnx_weights(empty(), tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("features.1.first.output.zero_point", np.float32(np.nan), "expected integers"),
        ("features.1.first.output.zero_point", np.int32(300), "zero point .* from 0 to 255"),
        ("features.1.first.weight.codes", np.float32(np.nan), "expected integers"),
        ("features.1.first.bias.codes", np.float32(np.inf), "expected integers"),
        ("features.1.first.weight.scale", np.int32(1), "expected floats"),
        ("features.1.first.bias.scale", np.float32(np.nan), "positive numbers as its bias.scale"),
        ("features.1.first.weight.scale", np.float64(1e300), "positive numbers as its weight.scale"),
        ("features.1.first.weight.codes", "text", "expected integers"),
    ],
)
def test_constants_of_another_kind_are_refused(small, tmp_path, name, values, message):
    proto = onnx.load(small)
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            shape = tuple(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(np.full(shape, values, dtype=np.array(values).dtype), name))
            if values == "text":
                tensor.CopyFrom(onnx.helper.make_tensor(name, onnx.TensorProto.STRING, shape, [b"x"] * np.prod(shape)))
    (tmp_path / "bad.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises((InputError, ModelError), match=message):
        load_onnx_weights(empty(), tmp_path / "bad.onnx")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_impossible_scales_are_refused(small, tmp_path, value):
    for name, message in (("features.1.first.output.scale", "scale"), ("features.1.first.weight.scale", "scale")):
        proto = onnx.load(small)
        for tensor in proto.graph.initializer:
            if tensor.name == name:
                changed = numpy_helper.to_array(tensor).copy()
                changed[...] = value
                tensor.CopyFrom(numpy_helper.from_array(changed, name))
        write_onnx(proto, tmp_path / "bad.onnx")
        with pytest.raises(InputError, match=message):
            load_onnx_weights(empty(), tmp_path / "bad.onnx")
