from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

torch = pytest.importorskip("torch", reason="needs the extra `train`")

import fewflips  # noqa: E402
from fewflips.errors import InputError, OutputError  # noqa: E402
from fewflips.training.export.onnx_export import to_onnx, write_onnx  # noqa: E402
from fewflips.training.networks import build_network  # noqa: E402
from fewflips.training.quantization.quantize import quantize  # noqa: E402
from fewflips.training.quantization.quantized_layers import quantized_weights  # noqa: E402
from tests.training.layer_by_layer import assert_same_layers  # noqa: E402
from tests.training.trained_networks import images, quantized_network  # noqa: E402

NETWORKS = {
    "mobilenet_v2": {"width": 0.25, "early_strides": True},
    "resnet": {"width": 0.5, "depth": 14},
}
BITS = {
    "8": 8,
    "4": 4,
    "2": 2,
    "mixed": {"features.0": 8, "features.?.*": 4, "features.*": 6, "classifier": 5},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_onnx(model: bytes, x: torch.Tensor, optimized: bool = True) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return logits


@pytest.fixture(scope="module")
def exported():
    """Networks with their exports, made once for all tests of this module."""
    made = {}

    def make(name: str, bits: str):
        if (name, bits) not in made:
            network = quantized_network(name, images(64), BITS[bits], **NETWORKS[name])
            made[name, bits] = network, to_onnx(network)
        return made[name, bits]

    return make


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimized", [False, True])
def test_onnx_runtime_computes_the_same(exported, name, bits, optimized):
    network, proto = exported(name, bits)
    assert_same_layers(network, proto, images(64, seed=1), optimized=optimized)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", NETWORKS)
def test_fewflips_reads_the_same_layers(exported, name, bits, tmp_path):
    network, proto = exported(name, bits)
    write_onnx(proto, tmp_path / "model.onnx")
    layers = fewflips.load(tmp_path / "model.onnx").layers
    expected = quantized_weights(network)
    assert [layer.name for layer in layers] == list(expected)
    for layer, ours in zip(layers, expected.values(), strict=True):
        assert layer.weight_type.bits == (4 if ours.bits <= 4 else 8)
        assert np.array_equal(layer.weights, ours.integer_codes().flatten(1).numpy())
        assert not layer.weight_zero_points.any()
        assert layer.activation_type.bits == 8
    assert layers[0].activation_zero_point == 128


@pytest.mark.parametrize("bits", ["4", "mixed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_fewflips_measures_the_export(exported, name, bits, tmp_path):
    network, proto = exported(name, bits)
    write_onnx(proto, tmp_path / "model.onnx")
    loaded = fewflips.load(tmp_path / "model.onnx")
    assert loaded.notes == ()
    np.savez(tmp_path / "samples.npz", input=images(2).numpy())
    report = fewflips.measure(loaded, "edge16", inputs=tmp_path / "samples.npz")
    assert [layer.name for layer in report.layers] == list(quantized_weights(network))
    assert report.totals.weights.flips > 0
    assert report.totals.activations.flips > 0


def test_a_code_shift_is_exported(tmp_path):
    network = quantized_network("resnet", images(8), width=0.5, depth=8)
    shifted = copy.deepcopy(network)
    for layer in quantized_weights(shifted).values():
        layer.code_shift = torch.randint(-3, 4, layer.weight.shape).float()
    proto = to_onnx(shifted)
    write_onnx(proto, tmp_path / "model.onnx")
    layers = fewflips.load(tmp_path / "model.onnx").layers
    for layer, ours, plain in zip(
        layers, quantized_weights(shifted).values(), quantized_weights(network).values(), strict=True
    ):
        assert np.array_equal(layer.weights, ours.integer_codes().flatten(1).numpy())
        assert not torch.equal(ours.integer_codes(), plain.integer_codes())
    assert_same_layers(shifted, proto, images(16, seed=2), optimized=True)


def test_int8_files_keep_an_old_operator_set_and_int4_files_are_half_as_large(exported):
    eight, four = (exported("resnet", bits)[1] for bits in ("8", "4"))
    assert [entry.version for entry in eight.opset_import] == [17]
    assert [entry.version for entry in four.opset_import] == [21]

    def stored(proto: onnx.ModelProto) -> tuple[set[int], int]:
        tensors = [tensor for tensor in proto.graph.initializer if tensor.name.endswith(".weight.codes")]
        return {tensor.data_type for tensor in tensors}, sum(len(tensor.raw_data) for tensor in tensors)

    assert stored(eight)[0] == {TensorProto.INT8}
    assert stored(four)[0] == {TensorProto.INT4}
    assert stored(four)[1] * 2 == pytest.approx(stored(eight)[1], abs=60)


def test_description_and_metadata_are_the_callers(tmp_path):
    network = quantized_network("resnet", images(4), width=0.5, depth=8)
    proto = to_onnx(network, name="mine", doc_string="made for a test", properties={"seed": "3", "epochs": "0"})
    write_onnx(proto, tmp_path / "model.onnx")
    read = onnx.load(tmp_path / "model.onnx")
    assert (read.graph.name, read.doc_string) == ("mine", "made for a test")
    assert {entry.key: entry.value for entry in read.metadata_props} == {"seed": "3", "epochs": "0"}
    assert to_onnx(network).graph.name == "resnet"


def test_training_mode_is_left_as_it_is():
    network = quantized_network("resnet", images(4), width=0.5, depth=8).train()
    to_onnx(network)
    assert all(module.training for module in network.modules())


def test_a_channel_without_weights_keeps_its_bias():
    network = quantized_network("resnet", images(8), width=0.5, depth=8)
    classifier = network.classifier
    with torch.no_grad():
        classifier.weight[3] = 0.0
        classifier.weight_scale[3] = 1e-9
        classifier.bias[3] = 2.5
    logits = run_onnx(to_onnx(network).SerializeToString(), images(4))
    assert logits[:, 3] == pytest.approx(2.5, rel=1e-4)


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"quantize\(\)"):
        to_onnx(build_network("resnet", depth=8, width=0.5))
    with pytest.raises(InputError, match=r"'features.0.output'.*calibrate\(\)"):
        to_onnx(quantize(build_network("resnet", depth=8, width=0.5)))
    network = quantized_network("resnet", images(4), width=0.5, depth=8)
    with torch.no_grad():
        network.features[1].first.bias[2] = 1e9
    with pytest.raises(InputError, match=r"'features.1.first' of shape \[8, 8, 3, 3\].*output channel 2"):
        to_onnx(network)
    with pytest.raises(OutputError):
        write_onnx(onnx.ModelProto(), Path(tmp_path / "missing" / "model.onnx"))
