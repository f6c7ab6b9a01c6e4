"""From ONNX's weighted operators to integer matrix products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NoReturn

import numpy as np

from fewflips.errors import ModelError
from fewflips.network.bias import Bias
from fewflips.network.graph import ConstantAxis, LeftOut, OperationKind
from fewflips.network.layer import Layer
from fewflips.network.lowering import Lowering, MatrixProduct
from fewflips.network.notes import Remarks, left_out_notes
from fewflips.network.onnx.between import BATCHED, IntegerTensor, batched_product
from fewflips.network.onnx.bodies import is_function, products_in_bodies, products_in_function
from fewflips.network.onnx.constants import Constants, IntegerWeights, is_dequantize
from fewflips.network.onnx.convolutions import check_dimensions, convolution_product, transposed_product
from fewflips.network.onnx.elements import FLOAT_TYPES, MAX_ELEMENTS, STORAGE_TYPES
from fewflips.network.onnx.errors import PassedOver, UnfitOperator
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.macs import is_foreign, looks_up, macs, macs_of_scores, multiplies, weights_of
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.packed_blocks import block_weights, packed_constants
from fewflips.network.onnx.recurrent import recurrent_weights
from fewflips.network.onnx.shapes import Value
from fewflips.network.onnx.standard_forms import CONTRIB
from fewflips.network.operand import ActivationOperand, ConstantOperand
from fewflips.network.product import Product
from fewflips.network.quantization_values import QuantizationValues


@dataclass(frozen=True)
class _Form:
    """Positions of a weighted operator's operands; None where it has none."""

    is_convolution: bool
    weights: int
    input_zero_point: int | None = None
    weight_scale: int | None = None
    weight_zero_point: int | None = None
    bias: int | None = None

    @property
    def is_dequantized(self) -> bool:
        """Whether the operands are floats, quantized by operators around this one."""
        return self.weight_zero_point is None


WEIGHTED: Mapping[tuple[str, str], _Form] = {
    ("", "QLinearConv"): _Form(True, 3, input_zero_point=2, weight_scale=4, weight_zero_point=5, bias=8),
    ("", "ConvInteger"): _Form(True, 1, input_zero_point=2, weight_zero_point=3),
    ("", "QLinearMatMul"): _Form(False, 3, input_zero_point=2, weight_scale=4, weight_zero_point=5),
    ("", "MatMulInteger"): _Form(False, 1, input_zero_point=2, weight_zero_point=3),
    (CONTRIB, "QGemm"): _Form(False, 3, input_zero_point=2, weight_scale=4, weight_zero_point=5, bias=6),
    (CONTRIB, "MatMulIntegerToFloat"): _Form(False, 1, input_zero_point=4, weight_scale=3, weight_zero_point=5, bias=6),
    (CONTRIB, "DynamicQuantizeMatMul"): _Form(False, 1, weight_scale=2, weight_zero_point=3, bias=4),
    (CONTRIB, "QAttention"): _Form(False, 1, input_zero_point=6, weight_scale=4, weight_zero_point=7, bias=2),
    ("", "Conv"): _Form(True, 1, bias=2),
    ("", "Gemm"): _Form(False, 1, bias=2),
    ("", "MatMul"): _Form(False, 1),
}
"""(Domain, operator) -> where its operands are. The activations are always input 0."""

_TRANSPOSED: Mapping[tuple[str, str], _Form] = {
    ("", "ConvTranspose"): _Form(True, 1, bias=2),
    (CONTRIB, "QLinearConvTranspose"): _Form(True, 3, input_zero_point=2, weight_scale=4, weight_zero_point=5, bias=8),
}
"""Transposed convolutions: (domain, operator) -> as above."""

_PACKED: Mapping[tuple[str, str], _Form] = {(CONTRIB, "MatMulNBits"): _Form(False, 1, bias=5)}
"""Products of floats with weights that are unpacked and dequantized inside: (domain, operator) -> as above."""

_FLOAT_WEIGHTS = "its weights are floats, not integers of at most 8 bits"


@dataclass(frozen=True, eq=False)
class OnnxProduct:
    """A weighted operator.

    Parameters
    ----------
    layer : Layer or None
        Its integer product; None where it is passed over.
    kind : OperationKind
        What it does to channels.
    constant_axes : tuple of ConstantAxis
        Constants that move with its channels.
    channel_axis : int
        Axis of its input and output that holds channels, counted from the end.
    further : tuple of Layer
        Its integer products beside the first one.
    """

    layer: Layer | None
    kind: OperationKind
    constant_axes: tuple[ConstantAxis, ...]
    channel_axis: int
    further: tuple[Layer, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All of its integer products."""
        return (*(() if self.layer is None else (self.layer,)), *self.further)


class OnnxLayerReader:
    """Reads the layers of one file.

    Parameters
    ----------
    file : OnnxFile
        The decoded file.
    values : mapping of str to Value
        Shapes and types.
    constants : Constants
        Its constant part.

    Attributes
    ----------
    left_out : list of LeftOut
        Products that are not read as layers, those in the bodies of control flow among them.
    float_operators : int
        How many weighted operators have float weights.
    """

    def __init__(self, file: OnnxFile, values: Mapping[str, Value], constants: Constants) -> None:
        self._file = file
        self._values = values
        self._constants = constants
        self._producers = {name: node for node in file.nodes for name in node.outputs if name}
        self._names = _unique_names(file)
        self._taken = set(self._names.values())
        self._remarks = Remarks()
        self.left_out: list[LeftOut] = []
        self.float_operators = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, and what layers lack: one sentence for each operator and reason."""
        return (*left_out_notes(self.left_out), *self._remarks.sentences())

    def products(self) -> dict[int, OnnxProduct]:
        """Weighted operators by node index, in execution order.

        Raises
        ------
        ModelError
            If the shapes of an operator contradict each other.
        """
        result = {}
        for node in self._file.nodes:
            if self._constants.computes(node):
                continue
            try:
                product = self._read(node)
            except PassedOver as reason:
                name, count = self._names[node.index], macs(node, self._values)
                self.left_out.append(LeftOut(name, node.operator, str(reason), count, self._between(node)))
            except UnfitOperator as error:
                raise self._contradiction(node, str(error)) from error
            else:
                if product is not None:
                    result[node.index] = product
            self.left_out += products_in_bodies(node)
        return result

    def _read(self, node: Node) -> OnnxProduct | None:
        """The product that an operator is; None where it is none."""
        key = node.domain, node.operator
        if key in WEIGHTED:
            product = self._product(node, WEIGHTED[key])
            self._note_what_else(node)
            return product
        if key in _TRANSPOSED:
            return self._transposed_convolution(node, _TRANSPOSED[key])
        if key in _PACKED:
            return self._packed_product(node, _PACKED[key])
        if key == (CONTRIB, "DynamicQuantizeLSTM"):
            return self._recurrent(node)
        if is_function(node, self._file.model):
            self.left_out += products_in_function(node, self._file.model)
        elif multiplies(node):
            self._pass_over(node)
        elif looks_up(node):
            remark = "a table of integers from which rows are looked up; it multiplies nothing"
            self._remarks.add(self._names[node.index], node.operator, remark)
        return None

    def _note_what_else(self, node: Node) -> None:
        """Name what an operator multiplies beside its weights."""
        if node.operator == "QAttention":
            count = macs_of_scores(node, self._values)
            reason = "beside its weights it multiplies activations with each other"
            self.left_out.append(LeftOut(self._names[node.index], node.operator, reason, count))

    def _pass_over(self, node: Node) -> NoReturn:
        """Say why a product is not read that no layer can be made of."""
        if is_foreign(node):
            raise PassedOver("what it computes is not known")
        name = weights_of(node)
        if not self._constants.holds(name):
            raise PassedOver(f"{node.operator} is not supported")
        if self._values[name].element_type in FLOAT_TYPES and self._constants.integer_weights(name) is None:
            self.float_operators += 1
            raise PassedOver(_FLOAT_WEIGHTS)
        raise PassedOver(f"{node.operator} is not supported, so that its weights are not counted")

    def _product(self, node: Node, form: _Form) -> OnnxProduct:
        self._check_operands(node, form)
        weights = self._constant_weights(node, form)
        shape = weights.shape
        out_axis, in_axis = self._weight_axes(node, form, shape)
        n, k = shape[out_axis], prod(shape) // shape[out_axis]
        zero_points = self._weight_zero_points(node, form, weights, out_axis)
        if form.is_convolution:
            found = convolution_product(node, shape, self._shape(node.input(0)), self._values[node.outputs[0]].shape)
            groups, m = found.groups, found.m
            lowering: Lowering = found.lowering
            self._check_extent(node, m, n)
        else:
            groups, m, lowering = self._matrix_product(node, shape[in_axis], n)
        layer = Layer(
            self._names[node.index],
            node.operator,
            self._activations(node, form, m, k, lowering),
            ConstantOperand(
                name=weights.tensor,
                shape=(n, k),
                storage=weights.storage,
                zero_points=zero_points,
                source=weights.matrix(out_axis),
                scales=self._weight_scales(node, form, weights, out_axis),
            ),
            groups,
            self._bias(node, form, n),
        )
        if weights.computed:
            self._remarks.add(
                layer.name, layer.operator, "the file holds its weights as floats and quantizes them by an operator"
            )
        kind = self._kind(layer, node)
        axes = None if kind is OperationKind.OPAQUE else self._constant_axes(node, form, n, (out_axis, in_axis), kind)
        if axes is None:
            kind, axes = OperationKind.OPAQUE, ()
        return OnnxProduct(layer, kind, axes, 1 - len(shape) if form.is_convolution else -1)

    def _check_operands(self, node: Node, form: _Form) -> None:
        if not node.input(0) or not node.input(form.weights) or not node.outputs or not node.outputs[0]:
            raise UnfitOperator(f"expected an input, weights and an output, got {list(node.inputs)}")

    def _packed_product(self, node: Node, form: _Form) -> OnnxProduct:
        self._check_operands(node, form)
        weights = block_weights(node, self._constants)
        n, k = weights.operand.shape
        groups, m, lowering = self._matrix_product(node, k, n)
        name, left = self._names[node.index], self._activations(node, form, m, k, lowering)
        layer = Layer(name, node.operator, left, weights.operand, groups, self._bias(node, form, n))
        if weights.rounded:
            remark = "the zero points of its weights are fractions; values are taken less the nearest integers"
            self._remarks.add(name, node.operator, remark)
        axes = self._packed_axes(node, form, n, weights.block)
        kind = OperationKind.OPAQUE if axes is None else OperationKind.PRODUCT
        return OnnxProduct(layer, kind, axes or (), -1)

    def _packed_axes(self, node: Node, form: _Form, n: int, block: int) -> tuple[ConstantAxis, ...] | None:
        """Constants that move with a product of packed blocks; None where one cannot.

        Inputs move within blocks that share scales, and blocks as a whole; with `g_idx`, which says whose scales each
        takes, they move freely.
        """
        codes, scales, zero_points, groups = (node.input(position) for position in (1, 2, 3, 4))
        if codes not in packed_constants(self._file):
            return None
        found = [ConstantAxis(codes, 0, "output"), ConstantAxis(codes, 1, "input")]
        if groups:
            if self._values[groups].shape != (node.integer("K", 0),) or groups not in self._file.constants:
                return None
            found.append(ConstantAxis(groups, 0, "input"))
        for name in filter(None, (scales, zero_points)):
            shape = self._values[name].shape
            whole = shape == (n, node.integer("K", 0) // block)
            packed = self._values[name].element_type not in FLOAT_TYPES
            if name not in self._file.constants or not whole or packed:
                return None
            found.append(ConstantAxis(name, 0, "output"))
            found += [] if groups else [ConstantAxis(name, 1, "input", block)]
        if form.bias is not None and node.input(form.bias):
            along = self._vector_axes(node.input(form.bias), n, is_bias=True)
            if along is None:
                return None
            found += along
        return tuple(dict.fromkeys(found))

    def _recurrent(self, node: Node) -> OnnxProduct:
        """The products of a recurrent operator, each with as many rows as there are steps of all sequences."""
        shape = self._shape(node.input(0)) if node.input(0) and node.input(2) and any(node.outputs) else ()
        if len(shape) != 3:
            raise UnfitOperator(f"expected an input of 3 axes, two weights and an output, got {list(node.inputs)}")
        m, layers = shape[0] * shape[1], []
        for part in recurrent_weights(node, self._constants, shape[2]):
            n, k = part.operand.shape
            self._check_extent(node, m, n)
            name = self._further_name(f"{self._names[node.index]} ({part.what})")
            left = ActivationOperand((m, k), MatrixProduct())
            layers.append(Layer(name, node.operator, left, part.operand, 1))
        self._float_activations(node, "it quantizes its input and its state itself")
        return OnnxProduct(layers[0], OperationKind.OPAQUE, (), -1, tuple(layers[1:]))

    def _further_name(self, wanted: str) -> str:
        """A name that no other layer has."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}#{number}", number + 1
        self._taken.add(name)
        return name

    def _transposed_convolution(self, node: Node, form: _Form) -> OnnxProduct:
        self._check_operands(node, form)
        weights = self._constant_weights(node, form)
        shape = weights.shape
        check_dimensions(shape)
        found, places = transposed_product(node, shape, self._shape(node.input(0))), prod(shape[2:])
        self._check_extent(node, found.m, found.n)
        zero_points = self._weight_zero_points(node, form, weights, 1)
        scales = self._weight_scales(node, form, weights, 1)
        constant = ConstantOperand(
            name=weights.tensor,
            shape=(found.n, shape[0]),
            storage=weights.storage,
            zero_points=_at_each_place(zero_points, places),
            source=weights.matrix_of_places(),
            scales=None if scales is None else _at_each_place(scales, places),
        )
        left = self._activations(node, form, found.m, shape[0], found.lowering)
        bias = Bias(node.input(form.bias)) if form.bias is not None and node.input(form.bias) else None
        layer = Layer(self._names[node.index], node.operator, left, constant, 1, bias)
        return OnnxProduct(layer, OperationKind.OPAQUE, (), 1 - len(shape))

    def _constant_weights(self, node: Node, form: _Form) -> IntegerWeights:
        if not self._constants.holds(node.input(form.weights)):
            first = self._constants.holds(node.input(0))
            raise PassedOver("its weights are the first operand" if first else "it multiplies two activations")
        return self._weights(node, form)

    def _weights(self, node: Node, form: _Form) -> IntegerWeights:
        name = node.input(form.weights)
        weights = self._constants.integer_weights(name)
        if weights is None:
            if self._values[name].element_type in FLOAT_TYPES:
                self.float_operators += 1
                raise PassedOver(_FLOAT_WEIGHTS)
            raise PassedOver("its weights are not integers of at most 8 bits that can be read")
        if (self._values[name].element_type in FLOAT_TYPES) != form.is_dequantized:
            raise self._contradiction(node, "expected integer weights, got dequantized ones, or the other way round")
        if 0 in weights.shape:
            raise self._contradiction(node, f"expected weights, got shape {list(weights.shape)}")
        return weights

    def _weight_axes(self, node: Node, form: _Form, shape: tuple[int, ...]) -> tuple[int, int]:
        """Axes of the outputs and of the inputs."""
        if form.is_convolution:
            check_dimensions(shape)
            return 0, 1
        if len(shape) != 2:
            raise PassedOver(f"its weights have {len(shape)} dimensions; those with 2 are read")
        if node.integer("transA", 0):
            raise PassedOver("its input is transposed")
        return (0, 1) if node.integer("transB", 0) else (1, 0)

    def _weight_zero_points(
        self, node: Node, form: _Form, weights: IntegerWeights, out_axis: int
    ) -> QuantizationValues:
        """Zero points of the weights as rows."""
        n = weights.shape[out_axis]
        if form.weight_zero_point is None:
            return weights.as_rows(weights.zero_points, out_axis)
        name = node.input(form.weight_zero_point)
        if not name:
            return QuantizationValues.per_channel(np.zeros(n, dtype=np.int32))
        values = self._constants.array(name)
        if values is None:
            raise PassedOver("the zero points of its weights are not constants")
        if values.size not in (1, n):
            raise self._contradiction(node, f"expected 1 or {n} zero points of its weights, got {values.size}")
        spread = np.broadcast_to(values.reshape(-1).astype(np.int32), (n,))
        return QuantizationValues.per_channel(np.ascontiguousarray(spread))

    def _weight_scales(
        self, node: Node, form: _Form, weights: IntegerWeights, out_axis: int
    ) -> QuantizationValues | None:
        """Scales of the weights as rows; None where they are not known."""
        if form.weight_scale is not None:
            values = self._constants.scales(node.input(form.weight_scale))
            if values is None or values.size not in (1, weights.shape[out_axis]):
                return None
            return QuantizationValues.per_channel(values.reshape(-1))
        return None if weights.scales is None else weights.as_rows(weights.scales, out_axis)

    def _bias(self, node: Node, form: _Form, n: int) -> Bias | None:
        """What the operator adds to its products: integers where it adds them as they are, the same to all rows."""
        name = "" if form.bias is None else node.input(form.bias)
        if not name:
            return None
        source = self._constants.integer_vector(name)
        beta = node.attributes.get("beta")
        if source is None or (beta is not None and beta.f != 1) or source.shape not in ((), (1,), (n,), (1, n), (1, 1)):
            return Bias(name)
        return Bias(name, source)

    def _activations(self, node: Node, form: _Form, m: int, k: int, lowering: Lowering) -> ActivationOperand:
        found = self._integer_input(node, form)
        floats = node.input(0) if found.tensor is None and not self._constants.holds(node.input(0)) else None
        return ActivationOperand((m, k), lowering, found.tensor, found.storage, found.zero_point, floats)

    def _integer_input(self, node: Node, form: _Form) -> IntegerTensor:
        """Find the integer tensor that the layer reads, if there is one."""
        position = form.input_zero_point
        zero_point = "" if position is None else node.input(position)
        found = self._integers_behind(node.input(0), zero_point, dequantized=form.is_dequantized)
        if isinstance(found, IntegerTensor):
            return found
        if node.operator == "DynamicQuantizeMatMul":
            found = "it quantizes its input itself"
        return self._float_activations(node, found)

    def _integers_behind(self, name: str, zero_point: str, *, dequantized: bool) -> IntegerTensor | str:
        """The integer tensor that is an operand, or from which it is dequantized; or why there is none."""
        source = name
        if dequantized:
            producer = self._producers.get(name)
            if producer is None or not is_dequantize(producer) or self._constants.holds(name):
                return "its input is not the output of DequantizeLinear"
            if self._size(producer.inputs[1]) != 1:
                return "its input has more than one scale"
            source, zero_point = producer.inputs[0], producer.input(2)
        storage = STORAGE_TYPES.get(self._values[source].element_type)
        if storage is None or storage.bits != 8:
            return "its input is not int8 or uint8"
        if not zero_point:
            return IntegerTensor(source, storage, 0)
        if self._size(zero_point) != 1:
            return "its input has more than one zero point"
        number = self._constants.number(zero_point)
        return IntegerTensor(source, storage, None if number is None else int(number))

    def _between(self, node: Node) -> Product | None:
        """The product of two activations, where both are integers in the file and their shapes are known."""
        form = WEIGHTED.get((node.domain, node.operator))
        if form is None or form.is_convolution or node.operator not in BATCHED:
            return None
        names = node.input(0), node.input(form.weights)
        if any(self._constants.holds(name) for name in names):
            return None
        zero_points = [
            "" if position is None else node.input(position)
            for position in (form.input_zero_point, form.weight_zero_point)
        ]
        left, right = (
            self._integers_behind(name, zero_point, dequantized=form.is_dequantized)
            for name, zero_point in zip(names, zero_points, strict=True)
        )
        shapes = [self._values[name].shape for name in names]
        if isinstance(left, str) or isinstance(right, str) or left.zero_point is None or right.zero_point is None:
            return None
        return batched_product(self._names[node.index], node.operator, (left, right), shapes)

    def _float_activations(self, node: Node, reason: str) -> IntegerTensor:
        remark = f"{reason}, so that its activations are not known as integers"
        self._remarks.add(self._names[node.index], node.operator, remark)
        return IntegerTensor(None, None, None)

    def _size(self, name: str) -> int | None:
        shape = self._values[name].shape
        return None if shape is None else prod(shape)

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._values[name].shape
        if shape is None:
            raise PassedOver(
                "the shape of its input is not known; run python -m onnxruntime.quantization.preprocess first"
            )
        return shape

    def _matrix_product(self, node: Node, k: int, n: int) -> tuple[int, int, Lowering]:
        shape = self._shape(node.input(0))
        if len(shape) < 2:
            raise PassedOver(f"its input has {len(shape)} dimensions; those with 2 or more are read")
        if shape[-1] != k:
            raise self._contradiction(node, f"expected an input with {k} columns, got shape {list(shape)}")
        m = prod(shape[:-1])
        self._check_extent(node, m, n)
        return 1, m, MatrixProduct()

    def _check_extent(self, node: Node, m: int, n: int) -> None:
        if not 1 <= m <= MAX_ELEMENTS or m * n > MAX_ELEMENTS:
            raise self._contradiction(node, f"expected 1 to {MAX_ELEMENTS} outputs, got {m} x {n}")

    def _kind(self, layer: Layer, node: Node) -> OperationKind:
        if node.operator == "QAttention":
            return OperationKind.OPAQUE
        if self._constants.holds(node.input(0)):
            return OperationKind.OPAQUE
        if layer.groups == 1:
            return OperationKind.PRODUCT
        channels = self._values[node.input(0)].shape
        single = channels is not None and layer.groups == layer.n == channels[1]
        return OperationKind.CHANNELWISE if single else OperationKind.OPAQUE

    def _constant_axes(
        self, node: Node, form: _Form, n: int, weight_axes: tuple[int, int], kind: OperationKind
    ) -> tuple[ConstantAxis, ...] | None:
        """Constants that move with the operator's channels; None where one cannot."""
        out_axis, in_axis = weight_axes
        view = self._constants.view(node.input(form.weights))
        if view is None:
            return None
        found: list[ConstantAxis] = []
        along = view.axes_along(out_axis)
        if along is None:
            return None
        found += [ConstantAxis(name, axis, "output") for name, axis in along]
        if kind is OperationKind.PRODUCT:
            along = view.axes_along(in_axis)
            if along is None:
                return None
            found += [ConstantAxis(name, axis, "input") for name, axis in along]
        vectors = [form.weight_scale, form.weight_zero_point, form.bias]
        for position in (position for position in vectors if position is not None and node.input(position)):
            axes = self._vector_axes(node.input(position), n, is_bias=position == form.bias)
            if axes is None:
                return None
            found += axes
        followed = {0, form.weights, *vectors}
        others = [name for position, name in enumerate(node.inputs) if position not in followed and name]
        return None if any(self._size(name) != 1 for name in others) else tuple(dict.fromkeys(found))

    def _vector_axes(self, name: str, n: int, is_bias: bool) -> list[ConstantAxis] | None:
        """Axes of a constant with one entry, or one an output channel on its last axis."""
        if self._size(name) == 1:
            return []
        view = self._constants.view(name) if self._constants.holds(name) else None
        if view is None or view.shape[-1] not in ((1, n) if is_bias else (n,)):
            return None
        along = view.axes_along(len(view.shape) - 1)
        return None if along is None else [ConstantAxis(leaf, axis, "output") for leaf, axis in along]

    def _contradiction(self, node: Node, detail: str) -> ModelError:
        return ModelError(
            f"{self._file.path}: damaged ONNX file: layer '{self._names[node.index]}' ({node.operator}): {detail}"
        )


def _at_each_place(values: QuantizationValues, places: int) -> QuantizationValues:
    """Values of rows (output channel; input channel, place of the kernel), for rows (output channel, place)."""
    rows = values.values
    if rows.shape[1] == 1:
        return QuantizationValues(np.repeat(rows, places if len(rows) > 1 else 1, axis=0))
    each = rows.reshape(len(rows), -1, places).swapaxes(1, 2)
    return QuantizationValues(each.reshape(len(rows) * places, -1))


def _unique_names(file: OnnxFile) -> dict[int, str]:
    """Give every node a name: its own where it is unique, else that of its output."""
    given = Counter(node.name for node in file.nodes)
    taken: set[str] = set()
    names = {}
    for node in file.nodes:
        name = node.name if node.name and given[node.name] == 1 else _computed(node)
        number = 2
        unique = name
        while unique in taken:
            unique, number = f"{name}#{number}", number + 1
        taken.add(unique)
        names[node.index] = unique
    return names


def _computed(node: Node) -> str:
    return next((name for name in node.outputs if name), f"node {node.index}")
