"""The replay of quantized networks in PyTorch, against their own runtimes and finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from fewflips.bundled import bundled_pair  # noqa: E402
from fewflips.errors import InputError  # noqa: E402
from fewflips.execution.runtimes import Runtime  # noqa: E402
from fewflips.execution.samples import Samples, load_samples, random_feeds  # noqa: E402
from fewflips.network import Network, load  # noqa: E402
from fewflips.optimization.rounding.outputs import Reference  # noqa: E402
from fewflips.training.distillation.grid import Grid  # noqa: E402
from fewflips.training.distillation.products import ReplayedProduct  # noqa: E402
from fewflips.training.distillation.program import Program  # noqa: E402
from fewflips.training.distillation.replay import program_of  # noqa: E402
from tests.network import build_onnx, build_tflite  # noqa: E402
from tests.network.build_onnx import save  # noqa: E402

MODELS = (
    "mlperf_tiny_ad_autoencoder_int8",
    "mlperf_tiny_kws_dscnn_int8",
    "mlperf_tiny_resnet8_int8",
    "mlperf_tiny_vww_mobilenet_v1_025_int8",
    "mobilenet_v2_1.0_224_quant",
)


def feeds_of(network: Network, count: int) -> tuple[dict[str, np.ndarray], ...]:
    with Runtime(network) as runtime:
        return random_feeds(runtime.inputs, count, seed=3)


def largest_steps(network: Network, program: Program, feeds: tuple[dict[str, np.ndarray], ...]) -> tuple[float, float]:
    """Of operators that are given the runtime's own inputs: largest difference, in steps, and how many differ."""
    names = [operation.output for operation in program.operations]
    with Runtime(network, fetch=names) as runtime:
        runs = [runtime.run(feed, names) for feed in feeds]
    values, worst, differing, total = dict(program.batch(feeds)), 0.0, 0, 0
    for operation in program.operations:
        product = None if operation.layer is None else program.products[operation.layer]
        given = [values[name] for name in operation.inputs]
        with torch.no_grad():
            computed = operation.compute(*given, *((product.weight, product.bias) if product else ()))
        stored = np.concatenate([run[operation.output] for run in runs])
        if operation.grid is None:
            values[operation.output] = computed
            continue
        zero_point = np.iinfo(stored.dtype).min - operation.grid.low
        expected = torch.tensor((stored.astype(np.float32) - zero_point) * np.float32(operation.grid.step))
        away = (operation.grid.round(computed) - expected).abs() / operation.grid.step
        worst, differing, total = (
            max(worst, float(away.max())),
            differing + int((away > 0.5).sum()),
            total + away.numel(),
        )
        values[operation.output] = expected
    return worst, differing / total


@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
def test_each_operator_gives_what_litert_gives_up_to_a_step(kind: str, tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(build_tflite.branching("UINT8" if kind == "UINT8" else "INT8", kind))
    network = load(path)
    worst, differing = largest_steps(network, program_of(network), feeds_of(network, 4))
    assert worst < 1.01
    assert differing < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_real_networks_operator_by_operator(name: str, shared: Path):
    network = load(shared / "models" / f"{name}.tflite")
    worst, differing = largest_steps(network, program_of(network), feeds_of(network, 1))
    assert worst < 1.01
    assert differing < 0.002


def test_onnx_runtime_gives_the_same_outputs_of_qlinear_operators(tmp_path: Path):
    network = load(save(without_concatenation(), tmp_path / "model.onnx"))
    reference, program = Reference.of(network, Samples(feeds_of(network, 8), "", "")), program_of(network)
    outputs = program.run(program.batch(reference.samples.feeds)).detach().numpy()
    assert np.abs(outputs - reference.outputs).max() < 1.01 * 0.05


def without_concatenation() -> onnx.ModelProto:
    """Convolution, depthwise, residual sum, pooling, flattening, fully connected."""
    build = build_onnx.QOperators()
    image = build.input("image", onnx.TensorProto.UINT8, ["N", 3, 8, 8])
    stem = build.conv(image, 8, 3, 3, pads=[1] * 4)
    total = build.add(build.conv(stem, 8, 1, 3, pads=[1] * 4, group=8), stem)
    flat = build.node("Flatten", [build.average(total)])
    codes = build.gemm(flat, 8, 5)
    build.output(build.node("DequantizeLinear", [codes, build.scale, build.zero]), onnx.TensorProto.FLOAT)
    return build.model()


def test_a_network_in_qdq_form_computes_what_the_standard_says(tmp_path: Path):
    """By ONNX's reference implementation: ONNX Runtime takes biases for integers of another scale than the file's."""
    model = build_onnx.qdq()
    network = load(save(model, tmp_path / "model.onnx"))
    program, feeds = program_of(network), feeds_of(network, 4)
    outputs = program.run(program.batch(feeds)).detach().numpy()
    evaluator = ReferenceEvaluator(model)
    expected = np.concatenate([evaluator.run(None, feed)[0] for feed in feeds])
    assert outputs == pytest.approx(expected, abs=0.02)


def test_the_bundled_network():
    with bundled_pair() as pair:
        network = load(pair.baseline)
        with Runtime(network) as runtime:
            samples = load_samples(pair.samples, runtime.inputs, limit=4)
        reference, program = Reference.of(network, samples), program_of(network)
    outputs = program.run(program.batch(samples.feeds)).detach().numpy()
    assert reference.error_in(outputs.astype(np.float64)).sqnr_db > 30


def test_a_batch_gives_what_its_inputs_give_one_by_one(tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(build_tflite.branching())
    network = load(path)
    program, feeds = program_of(network), feeds_of(network, 3)
    together = program.run(program.batch(feeds))
    alone = torch.cat([program.run(program.batch([feed])) for feed in feeds])
    assert torch.allclose(together, alone, atol=1e-6)


def test_gradients_of_a_layer_are_those_of_finite_differences(tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(build_tflite.branching())
    layers = {layer.name: layer for layer in load(path).layers}
    random = np.random.default_rng(0)
    for name, shape in (("stem", (2, 8, 8, 3)), ("depthwise", (2, 8, 8, 8)), ("logits", (2, 40))):
        layer = layers[name]
        product = ReplayedProduct(layer, 0.03, np.zeros(layer.n))
        assert product.bias is not None
        values = torch.tensor(random.normal(size=shape), dtype=torch.float32)
        weight, bias = product.weight.clone().requires_grad_(), product.bias.clone().requires_grad_()
        wanted = torch.tensor(random.normal(size=tuple(product(values, weight, bias).shape)), dtype=torch.float32)
        (product(values, weight, bias) * wanted).sum().backward()
        for _ in range(5):
            n, k = int(random.integers(layer.n)), int(random.integers(layer.k))
            change = torch.zeros_like(product.weight)
            change[n, k] = 8.0
            ends = [float((product(values, product.weight + s * change, product.bias) * wanted).sum()) for s in (1, -1)]
            assert weight.grad is not None
            assert float(weight.grad[n, k]) == pytest.approx((ends[0] - ends[1]) / 16, rel=2e-2, abs=2e-3)


def test_gradients_pass_through_a_grid_within_its_ends():
    grid = Grid.of(0.5, 3, 0, 7)
    values = torch.tensor([-1.6, -0.6, 0.3, 1.9, 2.3], requires_grad=True)
    rounded = grid.round(values)
    assert rounded.tolist() == [-1.5, -0.5, 0.5, 2.0, 2.0]
    rounded.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 1, 1, 1, 0]


def test_an_operator_that_is_not_known_is_named(tmp_path: Path):
    build = build_onnx.QDQ(4)
    image = build.activation(build.input("image", onnx.TensorProto.FLOAT, ["N", 3, 8, 8]))
    conv = build.node("Conv", [image, build.weights(build.int8(8, 3, 3, 3), 0), build.bias(8)])
    build.output(build.node("Erf", [conv]), onnx.TensorProto.FLOAT)
    network = load(save(build.model(), tmp_path / "model.onnx"))
    with pytest.raises(InputError, match=r"got Erf .* leave the step out"):
        program_of(network)
