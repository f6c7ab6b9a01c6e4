"""MatMulNBits: codes, scales and zero points of blocks, against plain loops and what ONNX Runtime computes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat

import fewflips
from fewflips.errors import InputError, ModelError
from fewflips.execution.onnx_runtime import OnnxRuntimeSession
from fewflips.formats.number_formats import StorageType
from fewflips.network.graph import OperationKind
from fewflips.network.layer import Layer
from fewflips.network.onnx import reader as adapter
from tests.network.build_onnx import CONTRIB, QDQ, Builder, NBits, save

FLOAT16, BFLOAT16 = TensorProto.FLOAT16, TensorProto.BFLOAT16

CASES = [
    NBits(),
    NBits(bits=2),
    NBits(bits=8),
    NBits(bits=8, zero_points="packed"),
    NBits(bits=2, zero_points="packed"),
    NBits(zero_points="packed"),
    NBits(zero_points="whole"),
    NBits(zero_points="whole", shuffled=True),
    NBits(shuffled=True, k=48),
    NBits(bias=True),
    NBits(scale_type=FLOAT16, zero_points="packed"),
    NBits(block=32, blocks=2),
]


READ_ONLY = [NBits(zero_points="packed", shuffled=True), NBits(scale_type=BFLOAT16)]
"""With `g_idx`, ONNX Runtime 1.32 takes 8 for every zero point that is packed; on CPUs it has no bfloat16."""


def case_name(case: NBits) -> str:
    return f"{case.bits}-{case.block}-{case.zero_points}-{case.shuffled}-{case.bias}-{case.scale_type}"


def real_weights(layer: Layer) -> NDArray[np.float64]:
    assert layer.right.scales is not None
    steps = layer.weights.astype(np.float64) - layer.right.element_zero_points()
    return steps * layer.right.scales.elements((layer.n, layer.k)).astype(np.float64)


@pytest.mark.parametrize("case", [*CASES, *READ_ONLY], ids=case_name)
def test_weights_are_those_of_the_definition(case: NBits, tmp_path: Path) -> None:
    (layer,) = adapter.read(save(case.model(), tmp_path / "m.onnx")).layers
    assert (layer.name, layer.operator, layer.m, layer.n, layer.k) == ("product", "MatMulNBits", 6, case.n, case.k)
    assert layer.weight_type == StorageType(case.bits, signed=False)
    assert layer.weights.dtype == np.uint8
    assert np.array_equal(layer.weights, case.codes[:, : case.k])
    assert np.array_equal(real_weights(layer), case.values())
    groups = layer.right.scale_groups()
    for a in range(case.k):
        for b in range(case.k):
            assert (groups[a] == groups[b]) == (case.groups[a] == case.groups[b])


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_the_runtime_computes_the_product_with_these_weights(case: NBits, tmp_path: Path) -> None:
    path = save(case.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    fetch = network.outputs
    x = np.random.default_rng(0).standard_normal((2, 3, case.k)).astype(np.float32)
    x = x.astype(np.float16) if case.scale_type == FLOAT16 else x
    got = OnnxRuntimeSession(str(path), fetch).run({"x": x}, fetch)[fetch[0]]
    expected = x.astype(np.float64) @ real_weights(network.layers[0]).T + (np.arange(case.n) / 4 if case.bias else 0)
    tolerance = 2e-2 if case.scale_type == FLOAT16 else 1e-4
    assert np.abs(got - expected).max() < tolerance


def test_shuffled_blocks_are_spread_when_they_are_asked_for(tmp_path: Path) -> None:
    case = NBits(zero_points="packed", shuffled=True, n=32, k=2048, blocks=128)
    (layer,) = adapter.read(save(case.model(), tmp_path / "m.onnx")).layers
    scales, zero_points = layer.right.scales, layer.right.zero_points
    assert scales is not None
    for values, blocks in ((scales, case.scales), (zero_points, case.zeros)):
        kept = pickle.dumps(values)
        assert len(kept) < case.n * case.k
        spread = pickle.loads(kept).elements((case.n, case.k))
        assert np.array_equal(spread, blocks[:, case.groups])
    rows = scales.groups_along(0, (case.n, case.k))
    assert len(set(rows.tolist())) == len({row.tobytes() for row in case.scales})


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Language models keep theirs beside the graph."""
    case = NBits(zero_points="packed", shuffled=True)
    path = save(case.model(), tmp_path / "m.onnx", external=True)
    (layer,) = adapter.read(path).layers
    assert np.array_equal(real_weights(layer), case.values())
    data = tmp_path / "m.onnx.weights"
    data.write_bytes(bytes(data.stat().st_size))
    with pytest.raises(InputError, match="the file has changed since it was read"):
        layer.right.load()


def test_zero_points_that_are_fractions_are_rounded_and_this_is_said(tmp_path: Path) -> None:
    case = NBits(zero_points="fractions")
    network = adapter.read(save(case.model(), tmp_path / "m.onnx"))
    zero_points = network.layers[0].right.element_zero_points()
    assert np.array_equal(zero_points, (case.zeros - 0.25)[:, case.groups])
    assert network.notes[1] == (
        "layer 'product' (MatMulNBits): the zero points of its weights are fractions; values are taken less the "
        "nearest integers"
    )


def test_activations_that_are_integers_in_the_file_are_known(tmp_path: Path) -> None:
    model = NBits().model()
    graph = model.graph
    graph.input[0].type.tensor_type.elem_type = TensorProto.INT8
    graph.initializer.extend([numpy_helper.from_array(np.float32(0.5), "s"), numpy_helper.from_array(np.int8(3), "z")])
    graph.node.insert(0, helper.make_node("DequantizeLinear", ["x", "s", "z"], ["real"]))
    graph.node[1].input[0] = "real"
    (layer,) = adapter.read(save(model, tmp_path / "m.onnx")).layers
    assert (layer.input_tensor, layer.activation_zero_point) == ("x", 3)


def test_channels_stay_in_place_and_what_is_not_known_is_said(tmp_path: Path) -> None:
    network = adapter.read(save(NBits().model(), tmp_path / "m.onnx"))
    assert [operation.kind for operation in network.operations] == [OperationKind.OPAQUE]
    reason = "its input is not the output of DequantizeLinear, so that its activations are not known as integers"
    assert network.notes == (
        f"layer 'product' (MatMulNBits): {reason}",
        "1 operator MatMulNBits: channels are not followed through; those that it touches stay in place",
    )


def test_a_schedule_is_made_and_checked_block_by_block(tmp_path: Path) -> None:
    network = fewflips.load(save(NBits(zero_points="packed").model(), tmp_path / "m.onnx"))
    result = fewflips.optimize(network, "edge16", mode="schedule")
    weights = result.report.totals.weights
    assert weights.optimized_flips < weights.baseline_flips
    assert result.report.schedule is not None
    assert "the sum of each block was compared" in result.report.schedule.check.method


def test_shapes_behind_operators_of_the_runtime_s_own(tmp_path: Path) -> None:
    """An embedding of 4 bits, a normalization with a skip, and a product behind them."""
    build, case = Builder(), NBits(k=32, blocks=2)
    ids = build.input("ids", TensorProto.INT64, [1, 5])
    table = build.packed(build.rng.integers(-8, 8, (7, 32)), TensorProto.INT4)
    attributes = {"block_size": 32, "gather_axis": 0, "quantize_axis": 1}
    rows = build.node("GatherBlockQuantized", [table, ids, build.constant(build.scales(7, 1))], CONTRIB, **attributes)
    packed = build.constant(build.uint8(7, 16))
    other = build.node("GatherBlockQuantized", [packed, ids, build.constant(build.scales(7, 1))], CONTRIB, **attributes)
    gamma = build.constant(build.scales(32))
    build.nodes.append(
        helper.make_node(
            "SkipSimplifiedLayerNormalization", [rows, other, gamma], ["normal", "", "", "sum"], domain=CONTRIB
        )
    )
    last = build.node("SimplifiedLayerNormalization", [build.node("Add", ["normal", "sum"]), gamma], axis=-1)
    codes = build.constant(case.codes.astype(np.uint8)[:, :16].reshape(6, 2, 8))
    operands = [last, codes, build.constant(build.scales(6, 2))]
    product = build.node("MatMulNBits", operands, CONTRIB, K=32, N=6, bits=4, block_size=16)
    build.outputs.append(helper.make_empty_tensor_value_info(product))
    path = save(build.model(), tmp_path / "m.onnx")
    network = adapter.read(path)
    assert (network.layers[0].m, network.layers[0].k) == (5, 32)
    fetch = [rows, other, "normal", "sum", last, product]
    got = OnnxRuntimeSession(str(path), fetch).run({"ids": np.arange(5).reshape(1, 5)}, fetch)
    for name in fetch:
        assert got[name].shape == network.tensors[name].shape


def test_other_channels_move_in_a_drop_in_file(tmp_path: Path) -> None:
    build, case = QDQ(2), NBits(k=32, blocks=2)
    hidden = build.activation(build.input("x", TensorProto.FLOAT, [3, 8]))
    for k, n in ((8, 24), (24, 32)):
        product = build.node("MatMul", [hidden, build.weights(build.int8(k, n), 1)])
        hidden = build.activation(build.node("Relu", [product]), zero=-128)
    build.output(case.node(build, hidden, "last"), TensorProto.FLOAT)
    report = fewflips.optimize(fewflips.load(save(build.model(), tmp_path / "m.onnx")), "edge16", mode="drop-in").report
    assert report.drop_in is not None
    assert report.drop_in.check.passed
    first, second, last = (layer.weights for layer in report.layers)
    assert first.optimized_flips + second.optimized_flips < first.baseline_flips + second.baseline_flips
    assert last.optimized_flips == last.baseline_flips


def attribute(name: str, value: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        next(entry for entry in model.graph.node[0].attribute if entry.name == name).i = value

    return change


def without(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        node = model.graph.node[0]
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)

    return change


def constant(name: str, values: NDArray[np.generic]) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(entry for entry in model.graph.initializer if entry.name == name)
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (attribute("K", 0), "expected N and K from 1, and at most 2147483648 weights, got N=6, K=0"),
        (attribute("N", -6), "got N=-6, K=40"),
        (attribute("N", 2**62), "expected N and K from 1"),
        (attribute("K", 2**31), "expected N and K from 1"),
        (attribute("K", 64), "expected 192 bytes of weights|expected 40 entries|expected an input with 64 columns"),
        (attribute("bits", 9), "expected bits from 2 to 8, got 9"),
        (attribute("bits", -4), "expected bits from 2 to 8, got -4"),
        (attribute("bits", 8), r"expected 288 bytes of weights .* got shape \[6, 3, 8\]"),
        (attribute("block_size", 0), "expected block_size to be a power of 2 from 16, got 0"),
        (attribute("block_size", 24), "expected block_size to be a power of 2 from 16, got 24"),
        (attribute("block_size", 2**62), "expected block_size to be a power of 2 from 16"),
        (attribute("block_size", 2**30), "expected 3221225472 bytes of weights"),
        (without("N"), "got N=0, K=40"),
        (without("block_size"), "expected block_size to be a power of 2 from 16, got 0"),
        (constant("codes", np.zeros((6, 3, 8), np.int8)), "expected weights packed as uint8, got element type 3"),
        (constant("codes", np.zeros((6, 2, 8), np.uint8)), "expected 144 bytes of weights"),
        (constant("scales", np.zeros((6, 2), np.float32)), r"expected 6 x 3 scales, one a block .* \[6, 2\]"),
        (constant("zeros", np.zeros((6, 3), np.uint8)), "expected 6 x 2 bytes of zero points, 3 of 4 bits a row"),
        (constant("zeros", np.zeros((6, 3), np.int64)), "expected zero points that are packed as uint8 or floats"),
        (constant("zeros", np.zeros((6, 2), np.float32)), "expected 6 x 3 zero points, one a block"),
        (constant("zeros", np.full((6, 3), np.nan, np.float32)), "expected zero points below 32768"),
        (constant("groups", np.zeros(39, np.int32)), "expected 40 entries of g_idx"),
        (constant("groups", np.full(40, 3, np.int32)), "expected g_idx from 0 to 2, got 3 to 3"),
        (constant("groups", np.full(40, -1, np.int32)), "expected g_idx from 0 to 2, got -1 to -1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    damage: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path
) -> None:
    model = NBits(zero_points="packed", shuffled=True).model()
    damage(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=message) as error:
        adapter.read(path)
    assert str(error.value).startswith(f"{path}: damaged ONNX file: layer 'product' (MatMulNBits): ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (attribute("bits", 3), "its weights have 3 bits; those of 2, 4 and 8 are read"),
        (constant("scales", np.zeros((6, 3), np.int32)), "the scales of its weights are not constants of the file"),
        (constant("groups", np.zeros(40, np.float32)), "its g_idx is not a constant of integers"),
    ],
)
def test_what_is_not_read_is_named(damage: Callable[[onnx.ModelProto], None], reason: str, tmp_path: Path) -> None:
    model = NBits(zero_points="packed", shuffled=True).model()
    damage(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=reason):
        adapter.read(path)


@pytest.mark.parametrize(("bits", "form"), [(2, "QOperator"), (4, "QOperator"), (8, "QOperator"), (4, "QDQ")], ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_the_runtime_s_own_quantizer_writes(bits: int, form: str, symmetric: bool, tmp_path: Path) -> None:
    """Each weight is the float's nearest step, and the runtime computes with these weights."""
    pytest.importorskip("onnx_ir", reason="ONNX Runtime's quantizer of weights needs onnx_ir: pip install onnx_ir")
    quantizer = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    build = Builder(1)
    floats = build.rng.standard_normal((40, 24)).astype(np.float32)
    source = build.input("x", TensorProto.FLOAT, [2, 40])
    build.output(build.node("MatMul", [source, build.constant(floats)], name="product"), TensorProto.FLOAT)
    settings = quantizer.DefaultWeightOnlyQuantConfig(
        block_size=16, is_symmetric=symmetric, bits=bits, quant_format=QuantFormat[form]
    )
    run = quantizer.MatMulNBitsQuantizer(build.model(), algo_config=settings)
    run.process()
    run.model.save_model_to_file(str(tmp_path / "m.onnx"))
    network = adapter.read(tmp_path / "m.onnx")
    (layer,) = network.layers
    assert (layer.operator, layer.weight_type.bits) == ("MatMulNBits" if form == "QOperator" else "MatMul", bits)
    assert layer.right.scales is not None
    step = np.abs(layer.right.scales.elements((layer.n, layer.k)))
    assert (np.abs(real_weights(layer) - floats.T) <= 1.01 * step).all()
    x = np.random.default_rng(2).standard_normal((2, 40)).astype(np.float32)
    got = OnnxRuntimeSession(str(network.path), network.outputs).run({"x": x}, network.outputs)[network.outputs[0]]
    rounded = np.abs(x).max() / 127 if form == "QDQ" else 0  # there the runtime quantizes activations of blocks itself
    tolerance = 1e-4 + rounded * np.abs(real_weights(layer)).sum(axis=1) / 2
    assert (np.abs(got - x @ real_weights(layer).T) < tolerance).all()


def test_a_transformer_of_4_bits_is_read_whole(shared: Path) -> None:
    path = shared / "models" / "minilm_l6_int4_matmulnbits.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}: put the transformer there")
    network = adapter.read(path)
    assert len(network.layers) == 36
    assert sum(layer.macs for layer in network.layers) == 6 * 64 * (4 * 384 * 384 + 2 * 384 * 1536)
    assert {layer.weight_type.name for layer in network.layers} == {"uint4"}
    assert [product.operator for product in network.left_out] == ["MatMul"] * 12
    assert not any("shape" in note for note in network.notes)
