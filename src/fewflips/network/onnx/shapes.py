"""Shapes and element types of every tensor of an ONNX graph.

Shapes are inferred by the ``onnx`` package on a skeleton of the model: no weights, the operators of ONNX
Runtime's own domain replaced by standard ones of the same shape, and operators that are not known to be safe
left out (the inference of some never ends on hostile attributes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper
from onnx.numpy_helper import from_array

from fewflips.errors import ModelError
from fewflips.network.onnx.elements import element_count
from fewflips.network.onnx.errors import REFUSED
from fewflips.network.onnx.file import Constant, OnnxFile
from fewflips.network.onnx.length_bounds import unbounded_lengths
from fewflips.network.onnx.shape_values import computed_values
from fewflips.network.onnx.standard_forms import UNKNOWN_DOMAIN, StandardForm, stand_in, standard_form

_SMALL = 1024
"""Constants up to this many elements are kept: shapes, axes, pads."""

_MOST_ROUNDS = 128
"""Shapes give values, and values give shapes: how often, at most, one follows the other."""

_INFERRED = frozenset(
    [
        "Abs",
        "Acos",
        "Add",
        "And",
        "ArgMax",
        "ArgMin",
        "Asin",
        "Atan",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Concat",
        "ConstantOfShape",
        "Conv",
        "ConvInteger",
        "Cos",
        "DepthToSpace",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "DynamicQuantizeLinear",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LRN",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "MatMul",
        "MatMulInteger",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Swish",
        "Tanh",
        "ThresholdedRelu",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Upsample",
        "Where",
    ]
)
"""Operators of the default domain whose inference is asked for."""

_DIVISORS = ("strides", "blocksize", "num_outputs")
"""Attributes that the inference divides by: before onnx 1.22 a zero there ends the process."""


@dataclass(frozen=True)
class Value:
    """What is known about a tensor.

    Parameters
    ----------
    shape : tuple of int or None
        Its shape; None where it is not known.
    element_type : int
        ``onnx.TensorProto.DataType``; 0 where it is not known.
    """

    shape: tuple[int, ...] | None
    element_type: int


def infer(file: OnnxFile) -> dict[str, Value]:
    """Shapes and types of all tensors of the main graph.

    Parameters
    ----------
    file : OnnxFile
        The file.

    Returns
    -------
    dict of str to Value
        For every tensor that a node reads or writes. A symbolic batch is 1, on whichever axis its symbol stands.

    Raises
    ------
    ModelError
        If an axis other than the batch is symbolic, the onnx package refuses the graph, or a tensor is larger
        than :data:`fewflips.network.onnx.elements.MAX_ELEMENTS`.
    """
    _check_divisors(file)
    symbols = _batch_symbols(file)
    fixed = {name: Value(constant.shape, constant.element_type) for name, constant in file.constants.items()}
    fixed |= {name: Value(constant.shape, constant.element_type) for name, constant in file.overridable.items()}
    for proto in file.model.graph.input:
        if proto.name not in fixed:
            fixed[proto.name] = _input_value(file, proto, symbols)
    stated = {
        proto.name: _stated_value(proto, symbols)
        for proto in (*file.model.graph.value_info, *file.model.graph.output)
        if isinstance(proto.name, str)
    }
    computed = computed_values(file, {name: value.shape for name, value in (stated | fixed).items()})
    result = _merged(file, fixed, stated, _inferred(file, fixed, stated, computed))
    for _ in range(_MOST_ROUNDS):
        if all(value.shape is not None for value in result.values()):
            break
        found = computed_values(file, {name: value.shape for name, value in result.items()})
        if found.keys() == computed.keys():
            break
        computed = found
        result = _merged(file, fixed, stated, _inferred(file, fixed, stated, computed))
    return result


def _check_divisors(file: OnnxFile) -> None:
    for node in file.nodes:
        for name in _DIVISORS:
            attribute = node.attributes.get(name)
            given = () if attribute is None else (*attribute.ints, attribute.i)[: len(attribute.ints) or 1]
            if 0 in given:
                raise ModelError(
                    f"{file.path}: damaged ONNX file: node '{node.name}' ({node.operator}): expected {name} to be "
                    f"{len(given)} positive integers, got {list(given)[:8]}"
                )


def _merged(
    file: OnnxFile, fixed: Mapping[str, Value], stated: Mapping[str, Value], inferred: Mapping[str, Value]
) -> dict[str, Value]:
    """The best that is known about each tensor, every shape checked."""
    result: dict[str, Value] = {}
    used = (name for node in file.nodes for name in (*node.inputs, *node.outputs) if name)
    for name in dict.fromkeys((*fixed, *used)):
        result[name] = _best(fixed.get(name), inferred.get(name), stated.get(name))
        shape = result[name].shape
        if shape is not None and element_count(shape) is None:
            raise ModelError(f"{file.path}: tensor '{name}' of shape {list(shape)} is not possible, or too large")
    return result


def _best(*candidates: Value | None) -> Value:
    known = [value for value in candidates if value is not None]
    shape = next((value.shape for value in known if value.shape is not None), None)
    element_type = next((value.element_type for value in known if value.element_type), 0)
    return Value(shape, element_type)


def _batch_symbols(file: OnnxFile) -> set[str]:
    """Symbols that stand for the first length of an input."""
    firsts = [proto.type.tensor_type.shape.dim[:1] for proto in file.model.graph.input]
    symbols = {dim.dim_param for dims in firsts for dim in dims if not dim.HasField("dim_value")}
    return {symbol for symbol in symbols if isinstance(symbol, str) and symbol}


def _input_value(file: OnnxFile, proto: ValueInfoProto, symbols: set[str]) -> Value:
    """Shape of an input, its batch 1 where it is symbolic."""
    name = proto.name
    if not proto.type.HasField("tensor_type") or not proto.type.tensor_type.HasField("shape"):
        raise ModelError(f"{file.path}: input '{name}': expected a tensor with a shape, got none; export it with one")
    shape = []
    for axis, dim in enumerate(proto.type.tensor_type.shape.dim):
        length = dim.dim_value if dim.HasField("dim_value") else -1
        if length < 0 and (axis == 0 or dim.dim_param in symbols):
            length = 1
        elif length <= 0:
            symbol = dim.dim_param if dim.HasField("dim_param") else str(length) if dim.HasField("dim_value") else "?"
            raise ModelError(
                f"{file.path}: input '{name}': expected a fixed length in dimension {axis}, got '{symbol}'; fix it "
                f"with: python -m onnxruntime.tools.make_dynamic_shape_fixed {_fixing(file, proto, dim.dim_param)} "
                "IN.onnx OUT.onnx"
            )
        shape.append(length)
    return Value(tuple(shape), proto.type.tensor_type.elem_type)


def _fixing(file: OnnxFile, proto: ValueInfoProto, symbol: str) -> str:
    """Options that fix the lengths of one input, or a symbol where several inputs have it."""
    others = (other.type.tensor_type.shape.dim for other in file.model.graph.input if other.name != proto.name)
    if symbol and any(dim.dim_param == symbol for dims in others for dim in dims):
        return f"--dim_param {symbol} --dim_value N"
    dims = proto.type.tensor_type.shape.dim
    wanted = ",".join(str(d.dim_value) if d.dim_value > 0 else "N" if i else "1" for i, d in enumerate(dims))
    return f"--input_name {proto.name} --input_shape {wanted}"


def _stated_value(proto: ValueInfoProto, symbols: set[str]) -> Value:
    """Read what the file itself says about a tensor."""
    if not proto.type.HasField("tensor_type"):
        return Value(None, 0)
    tensor = proto.type.tensor_type
    shape: list[int] | None = [] if tensor.HasField("shape") else None
    for dim in tensor.shape.dim:
        if shape is None:
            break
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            shape.append(dim.dim_value)
        elif dim.HasField("dim_param") and dim.dim_param in symbols:
            shape.append(1)
        else:
            shape = None
    return Value(None if shape is None else tuple(shape), tensor.elem_type)


def _inferred(
    file: OnnxFile, fixed: Mapping[str, Value], stated: Mapping[str, Value], computed: Mapping[str, NDArray[Any]]
) -> dict[str, Value]:
    """What the onnx package infers, given the values of some tensors."""
    skeleton = _skeleton(file, fixed, stated, computed)
    try:
        onnx.checker.check_model(skeleton.SerializeToString())
        done = onnx.shape_inference.infer_shapes(skeleton, check_type=False, strict_mode=False)
    except REFUSED as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ModelError(f"{file.path}: damaged ONNX file, or an operator that is not known: {reason}") from error
    values = {proto.name: _stated_value(proto, set()) for proto in (*done.graph.value_info, *done.graph.output)}
    for name, value in computed.items():
        values[name] = Value(value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))
    return values


def _skeleton(
    file: OnnxFile, fixed: Mapping[str, Value], stated: Mapping[str, Value], computed: Mapping[str, NDArray[Any]]
) -> onnx.ModelProto:
    initializers, inputs = [from_array(value, name) for name, value in computed.items()], []
    for name, value in fixed.items():
        constant = file.constants.get(name)
        if constant is not None and _is_small(constant):
            initializers.append(_small_tensor(file, constant))
        else:
            inputs.append(_typed(name, value))
    nodes: list[NodeProto] = []
    trusted, unbounded = [], unbounded_lengths(file, computed)
    described = {name: (value.shape, value.element_type) for name, value in fixed.items()}
    for node in file.nodes:
        if node.outputs and computed.keys() >= set(node.outputs):
            continue
        if node.domain == "" and node.operator in _INFERRED and not node.has_subgraph and node.index not in unbounded:
            nodes.append(node.proto)
            continue
        form = standard_form(node, described) or StandardForm((stand_in(node, filter(None, node.outputs)),))
        nodes += form.nodes
        inputs += form.inputs
        unknown = [name for part in form.nodes if part.domain == UNKNOWN_DOMAIN for name in part.output]
        shaped = [name for name in unknown if name in stated and stated[name].shape is not None]
        trusted += [_typed(name, stated[name]) for name in shaped]
    graph = helper.make_graph(nodes, "skeleton", inputs, [], initializers, value_info=trusted)
    opsets = [helper.make_opsetid("", file.opset), helper.make_opsetid(UNKNOWN_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=onnx.IR_VERSION)


def _is_small(constant: Constant) -> bool:
    numbers = (TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8)
    dense = constant.tensor is not None or constant.scalar_values is not None
    return dense and constant.element_type in numbers and constant.size <= _SMALL


def _small_tensor(file: OnnxFile, constant: Constant) -> TensorProto:
    values = file.values(constant)
    return TensorProto(
        name=constant.name, dims=constant.shape, data_type=constant.element_type, raw_data=values.tobytes()
    )


def _typed(name: str, value: Value) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, value.element_type or TensorProto.FLOAT, value.shape)
