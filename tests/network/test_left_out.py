"""Products that are not read as layers: named, with their multiply-accumulate operations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fewflips.errors import FloatModelError, ModelError
from fewflips.network import load
from fewflips.network.graph import LeftOut, Network
from tests.network import build_tflite as small
from tests.network.build_onnx import CONTRIB, QDQ, control_flow, save, with_a_layer

FLOAT = TensorProto.FLOAT
FLOATS = "its weights are floats, not integers of at most 8 bits"
Body = Callable[[QDQ], str]


def floats(build: QDQ, *shape: int) -> str:
    return build.constant(np.ones(shape, np.float32))


def source(build: QDQ, *shape: int) -> str:
    return build.input(f"x{len(build.inputs)}", FLOAT, shape)


def attached(product: Body) -> onnx.ModelProto:
    """A network with one quantized product, and another one beside it."""
    build = QDQ()
    layer = build.node("MatMul", [build.activation(source(build, 2, 4)), build.weights(build.int8(4, 3), 1)])
    build.output(layer, FLOAT)
    build.outputs.append(helper.make_empty_tensor_value_info(product(build)))
    model = build.model()
    model.opset_import.append(helper.make_opsetid("example.org", 1))
    return model


@pytest.mark.parametrize(
    ("product", "operator", "macs", "reason"),
    [
        (
            lambda b: b.node("MatMul", [source(b, 2, 3, 5, 7), source(b, 3, 7, 4)]),
            "MatMul",
            2 * 3 * 5 * 7 * 4,
            "it multiplies two activations",
        ),
        (lambda b: b.node("MatMul", [source(b, 5, 7), floats(b, 7)]), "MatMul", 35, FLOATS),
        (lambda b: b.node("Gemm", [source(b, 5, 7), floats(b, 4, 5)], transA=1, transB=1), "Gemm", 140, FLOATS),
        (
            lambda b: b.node("Conv", [source(b, 1, 4, 8, 8), floats(b, 6, 2, 3, 3)], group=2, pads=[1] * 4),
            "Conv",
            64 * 6 * 18,
            FLOATS,
        ),
        (lambda b: b.node("Conv", [source(b, 1, 4, 8), floats(b, 6, 4, 3)]), "Conv", 6 * 6 * 12, FLOATS),
        (
            lambda b: b.node("ConvTranspose", [source(b, 1, 4, 8, 8), floats(b, 4, 6, 3, 3)]),
            "ConvTranspose",
            256 * 54,
            FLOATS,
        ),
        (
            lambda b: b.node("LSTM", [source(b, 9, 2, 5), floats(b, 1, 12, 5), floats(b, 1, 12, 3)], hidden_size=3),
            "LSTM",
            9 * 2 * 12 * 8,
            FLOATS,
        ),
        (
            lambda b: b.node("Einsum", [source(b, 2, 5, 7), source(b, 2, 3, 7)], equation="bij,bkj->bik"),
            "Einsum",
            2 * 5 * 7 * 3,
            "Einsum is not supported",
        ),
        (
            lambda b: b.node(
                "MatMulNBits",
                [source(b, 2, 32), b.constant(np.zeros((5, 1, 16), np.uint8)), floats(b, 5)],
                CONTRIB,
                K=32,
                N=5,
                bits=3,
                block_size=32,
            ),
            "MatMulNBits",
            2 * 32 * 5,
            "its weights have 3 bits; those of 2, 4 and 8 are read",
        ),
        (
            lambda b: b.node("MultiHeadAttention", [source(b, 1, 4, 8)] * 3, CONTRIB, num_heads=2),
            "MultiHeadAttention",
            1 * 4 * 4 * (8 + 8),
            "MultiHeadAttention is not supported",
        ),
        (
            lambda b: b.node("MultiHeadAttention", [source(b, 1, 4, 24)], CONTRIB, num_heads=2),
            "MultiHeadAttention",
            None,
            "MultiHeadAttention is not supported",
        ),
        (
            lambda b: b.node("Attention", [source(b, 2, 5, 8), floats(b, 8, 24), floats(b, 24)], CONTRIB, num_heads=2),
            "Attention",
            2 * 5 * 8 * 24 + 2 * (2 * 5 * 5 * 8),
            FLOATS,
        ),
        (
            lambda b: b.node("GroupQueryAttention", [source(b, 1, 5, 64)], CONTRIB, num_heads=4, kv_num_heads=2),
            "GroupQueryAttention",
            2 * 4 * 5 * 5 * 8,
            "GroupQueryAttention is not supported",
        ),
        (
            lambda b: b.node("GroupQueryAttention", [source(b, 1, 5, 64)], CONTRIB, num_heads=-4, kv_num_heads=3),
            "GroupQueryAttention",
            None,
            "GroupQueryAttention is not supported",
        ),
        (
            lambda b: b.node("Strange", [source(b, 1, 4)], "example.org"),
            "Strange",
            None,
            "what it computes is not known",
        ),
        (
            lambda b: b.node("Einsum", [source(b, 2, 5), source(b, 5, 2)], equation="...,...->..."),
            "Einsum",
            None,
            "Einsum is not supported",
        ),
    ],
)
def test_an_onnx_product_that_is_left_out(
    product: Body, operator: str, macs: int | None, reason: str, tmp_path: Path
) -> None:
    network = load(save(attached(product), tmp_path / "m.onnx"))
    assert len(network.layers) == 1
    assert [(found.operator, found.macs, found.reason) for found in network.left_out] == [(operator, macs, reason)]
    assert network.notes[0] == f"layer '{network.left_out[0].name}' ({operator}): passed over: {reason}"


def test_like_notes_are_one(tmp_path: Path) -> None:
    def products(build: QDQ) -> str:
        left, right = source(build, 4, 4), source(build, 4, 4)
        for number in range(18):
            left = build.node("MatMul", [left, right], name=f"product {number}")
        return left

    network = load(save(attached(products), tmp_path / "m.onnx"))
    assert network.notes[0] == (
        "18 \u00d7 MatMul ('product 0', 'product 1', 'product 2' and 15 more): passed over: it multiplies two "
        "activations"
    )
    assert sum("MatMul" in note for note in network.notes) == 2
    assert network.notes[-1].startswith("18 operators MatMul: channels are not followed through")


@pytest.mark.parametrize(("operator", "graphs"), [("If", 2), ("Loop", 1), ("Scan", 1)])
def test_products_in_bodies_are_named(operator: str, graphs: int, tmp_path: Path) -> None:
    network = load(save(with_a_layer(control_flow(operator)), tmp_path / "m.onnx"))
    reason = f"it is inside the body of an operator {operator}, which is not read"
    assert [layer.name for layer in network.layers] == ["outer"]
    assert network.left_out == (LeftOut("inner", "QLinearConv", reason, None),) * (3 * graphs)
    assert f"passed over: {reason}" in network.notes[0]
    assert network.notes[0].startswith(f"{3 * graphs} \u00d7 QLinearConv ('inner', ")


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_a_network_that_is_all_in_a_body_is_told_so(operator: str, tmp_path: Path) -> None:
    path = save(control_flow(operator).model(), tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        load(path)
    assert not isinstance(caught.value, FloatModelError)
    assert str(caught.value).startswith(
        f"{path}: its weighted operators are inside the body of an operator {operator}, and only the main graph is read"
    )
    assert "quantized" not in str(caught.value)
    assert str(caught.value).endswith("export the network without control flow, or give the body as a model of its own")


def test_a_float_network_with_float_bodies_is_told_to_quantize(tmp_path: Path) -> None:
    build = control_flow("If", quantized=False)
    real = build.node("Cast", ["image"], to=FLOAT)
    outer = build.node("Conv", [real, build.constant(np.ones((4, 3, 1, 1), np.float32))])
    build.output(outer, FLOAT)
    with pytest.raises(FloatModelError, match="quantize it first"):
        load(save(build.model(), tmp_path / "m.onnx"))


def tflite_network(
    folder: Path,
    operator: str,
    shape: tuple[int, ...],
    constants: list[tuple[int, ...]],
    output: tuple[int, ...],
    place: int = 0,
    dtype: str = "INT8",
) -> Network:
    """A network with one quantized product, and beside it an operator that reads `shape` at `place` and constants."""
    build = small.TFLiteBuilder()
    first, second = build.tensor("first", (1, 4)), build.tensor("second", shape)
    layer = build.weighted(small.DENSE, first, "layer", (1, 3), (3, 4), per_channel=False)
    item = np.int8 if dtype == "INT8" else np.float32
    inputs = [build.tensor(f"c{i}", each, dtype, np.ones(each, item), 0.01) for i, each in enumerate(constants)]
    inputs.insert(place, second)
    result = build.tensor("result", output)
    build.operator(operator, inputs, [result])
    path = folder / "m.tflite"
    path.write_bytes(build.build([first, second], [layer, result]))
    return load(path)


UNSUPPORTED = "the operator is not supported, so that its weights are not counted"


@pytest.mark.parametrize(
    ("operator", "shape", "constants", "output", "place", "macs"),
    [
        ("TRANSPOSE_CONV", (1, 4, 4, 2), [(4,), (3, 2, 2, 2)], (1, 8, 8, 3), 2, 32 * 12),
        ("CONV_3D", (1, 4, 4, 4, 2), [(2, 2, 2, 2, 5)], (1, 3, 3, 3, 5), 0, 27 * 5 * 16),
        ("BATCH_MATMUL", (2, 5, 7), [(2, 7, 3)], (2, 5, 3), 0, 2 * 5 * 7 * 3),
        ("UNIDIRECTIONAL_SEQUENCE_RNN", (2, 9, 7), [(4, 7), (4, 4)], (2, 9, 4), 0, 18 * (28 + 16)),
    ],
)
def test_a_tflite_product_that_is_left_out(
    operator: str,
    shape: tuple[int, ...],
    constants: list[tuple[int, ...]],
    output: tuple[int, ...],
    place: int,
    macs: int,
    tmp_path: Path,
) -> None:
    network = tflite_network(tmp_path, operator, shape, constants, output, place)
    assert [layer.name for layer in network.layers] == ["layer"]
    assert network.left_out == (LeftOut("result", operator, UNSUPPORTED, macs),)


def test_float_weights_beside_integer_ones(tmp_path: Path) -> None:
    network = tflite_network(tmp_path, "FULLY_CONNECTED", (2, 7), [(3, 7)], (2, 3), dtype="FLOAT32")
    assert network.left_out == (
        LeftOut("result", "FULLY_CONNECTED", "its weights are float32, not integers", 2 * 7 * 3),
    )


@pytest.mark.parametrize("operator", ["WHILE", "IF"])
def test_control_flow_of_tflite(operator: str, tmp_path: Path) -> None:
    network = tflite_network(tmp_path, operator, (2, 7), [], (2, 7))
    reason = "it runs other subgraphs of the file, which are not read"
    assert network.left_out == (LeftOut("result", operator, reason, None),)
