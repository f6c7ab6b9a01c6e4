"""ONNX files: reading the integer products of a network, and writing it with its channels moved."""

from __future__ import annotations

from pathlib import Path

from fewflips.errors import FloatModelError, ModelError
from fewflips.network.graph import Network
from fewflips.network.notes import left_out_notes
from fewflips.network.onnx.bodies import is_quantized_inside, products_in_bodies
from fewflips.network.onnx.constants import Constants
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.layers import OnnxLayerReader
from fewflips.network.onnx.operators import describe
from fewflips.network.onnx.rewriter import rewrite
from fewflips.network.onnx.shapes import infer

__all__ = ["read", "rewrite"]


def read(path: Path) -> Network:
    """Read an ONNX file.

    QLinearConv, ConvInteger, QLinearMatMul, MatMulInteger, QGemm, MatMulNBits, and Conv, Gemm and MatMul whose weights
    come from integers by DequantizeLinear, become layers; other operators are kept as what they do to channels. Only
    the main graph is read, functions of the model inlined: what the bodies of If, Loop and Scan multiply is named in a
    note.

    Parameters
    ----------
    path : Path
        The file. External data must lie inside its folder.

    Returns
    -------
    Network
        Its layers and operators; `notes` says what was passed over.

    Raises
    ------
    FloatModelError
        If the weights are floats; the message says how to quantize them.
    ModelError
        If the file cannot be read, is damaged, has a symbolic axis other than the batch, or has no layer.
    """
    path = Path(path)
    try:
        return _read(path)
    except ModelError as error:
        detail = str(error).removeprefix(f"{path}: ")
        raise type(error)(f"{path}: {detail}") from error


def _read(path: Path) -> Network:
    file = OnnxFile(path)
    values = infer(file)
    constants = Constants(file, values)
    reader = OnnxLayerReader(file, values, constants)
    products = reader.products()
    layers = tuple(layer for product in products.values() for layer in product.layers)
    if not layers:
        raise _no_layers(file, reader)
    operations, tensors, notes = describe(file, values, constants, products)
    return Network(
        path=path,
        file_format="onnx",
        sha256=file.sha256,
        layers=layers,
        tensors=tensors,
        operations=operations,
        inputs=file.inputs,
        outputs=file.outputs,
        notes=(*_notes_on_functions(file), *reader.notes, *notes),
        left_out=tuple(reader.left_out),
    )


def _notes_on_functions(file: OnnxFile) -> tuple[str, ...]:
    count = file.inlined_functions
    if not count:
        return ()
    what = (
        "the body of 1 function of the model is" if count == 1 else f"the bodies of {count} functions of the model are"
    )
    return (f"{what} read in place of each call, and a drop-in file has them there",)


def _no_layers(file: OnnxFile, reader: OnnxLayerReader) -> ModelError:
    inside = [product for node in file.nodes for product in products_in_bodies(node)]
    if inside and (not reader.float_operators or any(is_quantized_inside(node) for node in file.nodes)):
        where = " or ".join(sorted({node.operator for node in file.nodes if products_in_bodies(node)}))
        return ModelError(
            f"{file.path}: its weighted operators are inside the body of an operator {where}, and only the main graph "
            f"is read ({left_out_notes(inside)[0]}); export the network without control flow, or give the body as a "
            "model of its own"
        )
    if reader.float_operators:
        return FloatModelError(
            f"{file.path}: expected integer weights, got a float model: quantize it first, with "
            "onnxruntime.quantization.quantize_static(input, output, calibration_data_reader), or "
            "quantize_dynamic(input, output) without calibration data"
        )
    detail = f" ({reader.notes[0]})" if reader.notes else ""
    return ModelError(
        f"{file.path}: expected at least one QLinearConv, ConvInteger, QLinearMatMul, MatMulInteger, QGemm, "
        f"MatMulNBits, or Conv, Gemm or MatMul with dequantized weights, got none{detail}; give a quantized network"
    )
