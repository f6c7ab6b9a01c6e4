"""Writing an ONNX file in QDQ form again with other ranges of its activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.errors import InputError
from fewflips.formats.number_formats import INT8, UINT8, StorageType
from fewflips.network.graph import Network
from fewflips.network.onnx.constants import Constants, is_dequantize, is_quantize
from fewflips.network.onnx.file import Constant, OnnxFile
from fewflips.network.onnx.layers import WEIGHTED
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.rewriter import write_changed
from fewflips.network.onnx.shapes import infer
from fewflips.network.ranges import ActivationRange, NewRange, ranges_of, rescaled_bias

_TYPES: Mapping[int, StorageType] = {TensorProto.INT8: INT8, TensorProto.UINT8: UINT8}
_FLOAT_WRITERS = frozenset(("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip"))
_QUANTIZATION_INPUTS = 3


def rescalable(network: Network) -> dict[str, ActivationRange]:
    """Ranges that can be replaced, by their tensor's name.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.onnx.reader.read` gave it; its file is read again.

    Returns
    -------
    dict of str to ActivationRange
        Of tensors of 8 bits between QuantizeLinear and DequantizeLinear nodes, behind which are layers and sums.
    """
    return _Places(network).ranges()


def rewrite_ranges(network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
    """Write a network's file again with other ranges and the biases that follow; everything else stays.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.onnx.reader.read` gave it.
    ranges : mapping of str to NewRange
        By the tensor's name.
    destination : Path
        The file to write; it appears complete or not at all. If the model keeps tensors in external files, all of
        them go to one file beside it, ``NAME.data``.

    Raises
    ------
    InputError
        If the file has changed since it was read, a range cannot be replaced or does not fit, or writing would
        overwrite the original's external data.
    OutputError
        If the destination cannot be written.
    """
    places = _Places(network)
    file = places.file
    changes = [change for place, new in ranges_of(network, places.ranges(), ranges) for change in places.of(place, new)]
    contents = {id(tensor): content for tensor, content in changes}
    write_changed(
        file,
        contents,
        lambda tensor: contents[id(tensor)] if id(tensor) in contents else file.payload(tensor),
        Path(destination),
    )


class _Places:
    """Where a file keeps the ranges of its activations, and which of them belong to one tensor alone."""

    def __init__(self, network: Network) -> None:
        self.file = OnnxFile(network.path)
        if self.file.sha256 != network.sha256:
            raise InputError(f"{network.path}: the file has changed since it was read; read it again")
        self._constants = Constants(self.file, infer(self.file))
        self._writers = {name: node for node in self.file.nodes for name in node.outputs if name}
        self._readers: dict[str, list[Node]] = {}
        for node in self.file.nodes:
            for name in {*node.inputs, *node.captured}:
                self._readers.setdefault(name, []).append(node)

    def ranges(self) -> dict[str, ActivationRange]:
        """See :func:`rescalable`."""
        found = {}
        for node in self.file.nodes:
            if is_quantize(node) and self._is_free(node):
                scale, zero_point = (self.file.constants[name] for name in node.inputs[1:])
                value = float(self.file.values(scale).reshape(-1)[0])
                zero = int(self.file.values(zero_point).reshape(-1)[0])
                name = node.outputs[0]
                found[name] = ActivationRange(name, _TYPES[zero_point.element_type], value, zero)
        return found

    def of(self, place: ActivationRange, new: NewRange) -> Iterator[tuple[TensorProto, bytes]]:
        """The tensors that change with a range, each with its new bytes."""
        quantize = self._writers[place.tensor]
        scale, zero_point = (self.file.constants[name] for name in quantize.inputs[1:])
        yield _scaled(self.file, scale, new.factor)
        stored = self.file.values(zero_point)
        yield _tensor(zero_point), np.full(stored.shape, new.zero_point, stored.dtype).tobytes()
        for node in self._products(place.tensor):
            bias = self._bias(node)
            if bias is not None:
                codes, scale_of_bias = (self.file.constants[name] for name in bias.inputs[:2])
                values: NDArray[Any] = self.file.values(codes)
                yield _tensor(codes), rescaled_bias(place.tensor, values, new.factor).astype("<i4").tobytes()
                yield _scaled(self.file, scale_of_bias, new.factor)

    def _is_free(self, quantize: Node) -> bool:
        """Whether the range that a node quantizes to can be replaced."""
        codes, readers = quantize.outputs[0], self._readers.get(quantize.outputs[0], [])
        if len(quantize.inputs) < _QUANTIZATION_INPUTS or not readers or codes in self.file.outputs:
            return False
        same = all(is_dequantize(node) and node.inputs[1:] == quantize.inputs[1:] for node in readers)
        if not same or quantize.attributes or any(node.attributes for node in readers):
            return False
        nodes = {quantize.index, *(node.index for node in readers)}
        source = self._writers.get(quantize.inputs[0])
        return (
            self._are_own(quantize.inputs[1:], nodes)
            and self.file.constants[quantize.inputs[2]].element_type in _TYPES
            and (source is None or (source.operator in _FLOAT_WRITERS and not source.domain))
            and all(self._can_follow(node.outputs[0]) for node in readers)
        )

    def _are_own(self, names: tuple[str, ...], nodes: set[int]) -> bool:
        """Whether a scale of float32 and a zero point are single numbers of the file that only these nodes read."""
        found = [self.file.constants.get(name) for name in names]
        return all(
            constant is not None
            and constant.tensor is not None
            and constant.size == 1
            and self._constants.users(name) == nodes
            for name, constant in zip(names, found, strict=True)
        ) and (found[0] is not None and found[0].element_type == TensorProto.FLOAT)

    def _can_follow(self, values: str) -> bool:
        """Whether all that reads dequantized values is a sum, or a layer whose bias can be counted in other steps."""
        return values not in self.file.outputs and all(
            (node.operator == "Add" and not node.domain)
            or (self._is_product_of(node, values) and self._bias_fits(node))
            for node in self._readers.get(values, [])
        )

    def _is_product_of(self, node: Node, values: str) -> bool:
        form = WEIGHTED.get((node.domain, node.operator))
        return form is not None and form.is_dequantized and node.inputs[0] == values and values not in node.inputs[1:]

    def _bias_fits(self, node: Node) -> bool:
        """Whether a layer has no bias, or one in int32 with a scale of its own."""
        form = WEIGHTED[(node.domain, node.operator)]
        if form.bias is None or not node.input(form.bias):
            return True
        bias = self._bias(node)
        if bias is None:
            return False
        zero_point = self._constants.array(bias.input(2)) if bias.input(2) else None
        codes, scale = (self.file.constants.get(name) for name in bias.inputs[:2])
        return (
            not (zero_point is not None and zero_point.any())
            and not (bias.input(2) and zero_point is None)
            and self._is_read_once(codes, bias.inputs[0])
            and self._is_read_once(scale, bias.inputs[1])
            and codes is not None
            and codes.element_type == TensorProto.INT32
            and scale is not None
            and scale.element_type == TensorProto.FLOAT
        )

    def _is_read_once(self, constant: Constant | None, name: str) -> bool:
        return (
            constant is not None
            and constant.tensor is not None
            and len(self._readers.get(name, [])) == 1
            and (name not in self.file.outputs)
        )

    def _products(self, codes: str) -> Iterator[Node]:
        """Layers behind a tensor of integers."""
        for dequantize in self._readers.get(codes, []):
            for node in self._readers.get(dequantize.outputs[0], []):
                if (node.domain, node.operator) in WEIGHTED:
                    yield node

    def _bias(self, node: Node) -> Node | None:
        """The node that dequantizes a layer's bias and nothing else's."""
        form = WEIGHTED[(node.domain, node.operator)]
        name = node.input(form.bias) if form.bias is not None else ""
        producer = self._writers.get(name)
        if producer is None or not is_dequantize(producer) or len(self._readers.get(name, [])) != 1:
            return None
        return producer


def _tensor(constant: Constant) -> TensorProto:
    if constant.tensor is None:
        raise InputError("expected a constant that the file holds as a tensor, got one without")
    return constant.tensor


def _scaled(file: OnnxFile, constant: Constant, factor: float) -> tuple[TensorProto, bytes]:
    """A scale times a factor."""
    values: NDArray[Any] = file.values(constant)
    return _tensor(constant), (values * np.float32(factor)).astype("<f4").tobytes()
