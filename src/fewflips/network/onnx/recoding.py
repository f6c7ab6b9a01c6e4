"""Writing an ONNX file again with other integers in its weights and biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fewflips.errors import InputError
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.onnx.constants import Constants, is_dequantize
from fewflips.network.onnx.elements import PACKED_BITS, pack
from fewflips.network.onnx.file import Constant, OnnxFile
from fewflips.network.onnx.layers import WEIGHTED, OnnxLayerReader
from fewflips.network.onnx.matrices import OnnxMatrix, StoredArray
from fewflips.network.onnx.nodes import Node
from fewflips.network.onnx.rewriter import write_changed
from fewflips.network.onnx.shapes import infer
from fewflips.network.recoding import (
    NewCodes,
    Recodable,
    checked_bias,
    checked_weights,
    layers_of,
    not_recodable,
)


def recodable(network: Network) -> dict[str, Recodable]:
    """What of each layer can be replaced, by the layer's name; layers of which nothing can are left out.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.onnx.reader.read` gave it; its file is read again.

    Returns
    -------
    dict of str to Recodable
        A bias of a layer in QDQ form is worth its scale over that of the product.
    """
    places = _Places(network)
    return {layer.name: places.recodable(layer) for layer in network.layers if places.has(layer)}


def rewrite_codes(network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
    """Write a network's file again with other weights and biases; everything else in the model stays.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.onnx.reader.read` gave it.
    codes : mapping of str to NewCodes
        By the layer's name.
    destination : Path
        The file to write; it appears complete or not at all. If the model keeps tensors in external files, all of
        them go to one file beside it, ``NAME.data``.

    Raises
    ------
    InputError
        If the file has changed since it was read, a layer cannot be replaced, integers do not fit, or writing would
        overwrite the original's external data.
    OutputError
        If the destination cannot be written.
    """
    places = _Places(network)
    file = places.file
    changes = [change for layer, new in layers_of(network, codes) for change in places.changes(layer, new)]
    contents = {id(tensor): content for tensor, content in changes}
    write_changed(
        file,
        contents,
        lambda tensor: contents[id(tensor)] if id(tensor) in contents else file.payload(tensor),
        Path(destination),
    )


class _Places:
    """Where a file keeps the integers of its layers, and which of them belong to one layer alone."""

    def __init__(self, network: Network) -> None:
        self.file = OnnxFile(network.path)
        if self.file.sha256 != network.sha256:
            raise InputError(f"{network.path}: the file has changed since it was read; read it again")
        values = infer(self.file)
        self._constants = Constants(self.file, values)
        products = OnnxLayerReader(self.file, values, self._constants).products()
        self._nodes = {
            product.layer.name: node
            for node in self.file.nodes
            if (product := products.get(node.index)) is not None and product.layer is not None
        }
        self._producers = {name: node for node in self.file.nodes for name in node.outputs if name}

    def has(self, layer: Layer) -> bool:
        """Whether the file holds a layer's weights as integers of one zero point a channel that nothing else reads."""
        matrix, zero_points = layer.right.source, layer.right.zero_points
        stored = isinstance(matrix, OnnxMatrix) and isinstance(matrix.source, StoredArray)
        if zero_points.along(0, layer.right.shape) is None:
            return False
        return stored and layer.name in self._nodes and self._own(layer.weights_tensor) is not None

    def recodable(self, layer: Layer) -> Recodable:
        """What can be replaced of a layer that :meth:`has` is true of."""
        bias = self._bias(layer)
        if bias is None:
            return Recodable.without_bias()
        constant, steps = bias
        return Recodable(self.file.values(constant).astype(np.int32).reshape(-1), steps)

    def changes(self, layer: Layer, new: NewCodes) -> Iterator[tuple[TensorProto, bytes]]:
        """The tensors that change, each with its new bytes."""
        if not self.has(layer):
            raise not_recodable(layer)
        constant, matrix = self._own(layer.weights_tensor), layer.right.source
        assert constant is not None
        assert constant.tensor is not None
        assert isinstance(matrix, OnnxMatrix)
        yield constant.tensor, _stored(checked_weights(layer, new), matrix, constant)
        bias = checked_bias(layer, self.recodable(layer), new)
        place = self._bias(layer)
        if bias is not None and place is not None and place[0].tensor is not None:
            yield place[0].tensor, bias.astype("<i4").tobytes()

    def _own(self, name: str) -> Constant | None:
        """A dense constant that one operator reads; None where others do, or the network gives it out."""
        constant = self.file.constants.get(name)
        if constant is None or constant.tensor is None or len(self._constants.users(name)) != 1:
            return None
        return None if -1 in self._constants.users(name) else constant

    def _bias(self, layer: Layer) -> tuple[Constant, NDArray[np.float64]] | None:
        """A layer's bias of int32, and the steps of it that a unit of the integer product is worth."""
        node = self._nodes[layer.name]
        form = WEIGHTED.get((node.domain, node.operator))
        if form is None or form.bias is None or not node.input(form.bias):
            return None
        name, steps = node.input(form.bias), np.ones(layer.n)
        if form.is_dequantized:
            producer = self._producers.get(name)
            if producer is None or not is_dequantize(producer) or (node.operator == "Gemm" and _is_scaled(node)):
                return None
            found = self._bias_steps(layer, node, producer)
            if found is None:
                return None
            name, steps = producer.inputs[0], found
        constant = self._own(name)
        if constant is None or constant.element_type != TensorProto.INT32 or constant.size != layer.n:
            return None
        return constant, steps

    def _bias_steps(self, layer: Layer, node: Node, bias: Node) -> NDArray[np.float64] | None:
        """Scale of the product over that of the bias, for each output channel; None where either is not known."""
        source = self._producers.get(node.input(0))
        if source is None or not is_dequantize(source) or layer.right.scales is None:
            return None
        of_weights = layer.right.scales.along(0, layer.right.shape)
        of_input, of_bias = self._constants.scales(source.inputs[1]), self._constants.scales(bias.inputs[1])
        zero_point = self._constants.array(bias.input(2)) if bias.input(2) else None
        if of_weights is None or of_input is None or of_bias is None or of_input.size != 1:
            return None
        if of_bias.size not in (1, layer.n) or (zero_point is not None and zero_point.any()) or (of_bias == 0).any():
            return None
        scale: NDArray[Any] = of_bias.reshape(-1).astype(np.float64)
        product = of_weights.astype(np.float64) * of_input.reshape(-1)[0].astype(np.float64)
        steps: NDArray[np.float64] = np.broadcast_to(product / scale, (layer.n,)).copy()
        return steps if np.isfinite(steps).all() else None


def _is_scaled(node: Node) -> bool:
    """Whether a Gemm multiplies its product or its bias by a number."""
    return any(key in node.attributes and node.attributes[key].f != 1.0 for key in ("alpha", "beta"))


def _stored(weights: NDArray[np.integer], matrix: OnnxMatrix, constant: Constant) -> bytes:
    """Weights of shape (N, K) as bytes of the constant."""
    laid_out = weights.reshape([constant.shape[axis] for axis in matrix.axes])
    values = np.ascontiguousarray(laid_out.transpose(np.argsort(matrix.axes)))
    bits = PACKED_BITS.get(constant.element_type)
    return values.tobytes() if bits is None else pack(values.view(np.uint8), bits).tobytes()
