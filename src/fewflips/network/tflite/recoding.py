"""Writing a TFLite file again with other integers in its weights and biases, in place."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.recoding import (
    NewCodes,
    Recodable,
    checked_bias,
    checked_weights,
    layers_of,
    not_recodable,
)
from fewflips.network.tflite.constants import constant_names
from fewflips.network.tflite.elements import BITS, pack
from fewflips.network.tflite.file import FileOperator, FileTensor, TFLiteFile, address, decode
from fewflips.network.tflite.matrices import TFLiteMatrix

_WEIGHTED = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))


def recodable(network: Network) -> dict[str, Recodable]:
    """What of each layer can be replaced, by the layer's name; layers of which nothing can are left out.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.tflite.reader.read` gave it; its file is read again.

    Returns
    -------
    dict of str to Recodable
        Runtimes add a bias to the integer product as it is, whatever scale the file gives it.
    """
    places = _Places(network, decode(_bytes_of(network), network.path))
    return {name: places.recodable(op) for name, op in places.operators.items()}


def rewrite_codes(network: Network, codes: Mapping[str, NewCodes], destination: Path) -> None:
    """Write a network's file again with other weights and biases; every other byte stays.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.tflite.reader.read` gave it.
    codes : mapping of str to NewCodes
        By the layer's name.
    destination : Path
        The file to write; it appears complete or not at all.

    Raises
    ------
    InputError
        If the file has changed since it was read, a layer cannot be replaced, or integers do not fit.
    OutputError
        If the destination cannot be written.
    """
    data = _bytes_of(network)
    places = _Places(network, decode(data, network.path))
    changes = [change for layer, new in layers_of(network, codes) for change in places.changes(layer, new)]
    for held, content in changes:
        held[...] = content
    if any(not np.array_equal(held, content) for held, content in changes):
        raise InputError(f"{network.path}: constants share bytes in part; their weights cannot be replaced")
    atomic_write(Path(destination), bytes(data))


def output_steps(network: Network, tensors: Sequence[str] | None = None) -> dict[str, tuple[float, int]]:
    """Scale and zero point of each output that has one of each; see :meth:`Reader.output_steps`."""
    file = decode(_bytes_of(network), network.path)
    named = None if tensors is None else set(tensors)
    outputs = [file.tensors[index] for index in file.outputs]
    if named is not None:
        outputs = [tensor for tensor in file.tensors if tensor.name in named]
    plain = [tensor for tensor in outputs if tensor.quantization.scale.size == tensor.quantization.zero_point.size == 1]
    return {
        tensor.name: (float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])) for tensor in plain
    }


class _Places:
    """Where a file keeps the integers of its layers, and which of them belong to one layer alone."""

    def __init__(self, network: Network, file: TFLiteFile) -> None:
        self._tensors = file.tensors
        _, self._fixed = constant_names(file)
        self._readers = Counter(index for op in file.operators for index in op.inputs if index >= 0)
        self._readers.update(file.outputs)
        self._sharers = Counter(address(tensor.data) for tensor in file.tensors if tensor.data is not None)
        self._sharers.update(address(data) for data in file.elsewhere)
        layers = {layer.name: layer for layer in network.layers}
        self.operators = {
            file.tensors[op.outputs[0]].name: op
            for op in file.operators
            if op.operator in _WEIGHTED and self._is_own(op, 1) and file.tensors[op.outputs[0]].name in layers
        }

    def recodable(self, op: FileOperator) -> Recodable:
        """What of an operator can be replaced beside its weights."""
        if not self._is_own(op, 2):
            return Recodable.without_bias()
        bias = self._tensors[op.inputs[2]]
        if bias.dtype != "INT32" or bias.data is None:
            return Recodable.without_bias()
        values = bias.data.copy().view(np.int32).reshape(-1)
        return Recodable(values, np.ones(values.size))

    def changes(self, layer: Layer, new: NewCodes) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """The file's bytes that change, each with what is to be there."""
        if layer.name not in self.operators:
            raise not_recodable(layer)
        op = self.operators[layer.name]
        weights, matrix = self._tensors[op.inputs[1]], layer.right.source
        assert weights.data is not None
        assert isinstance(matrix, TFLiteMatrix)
        yield weights.data, _stored(weights, checked_weights(layer, new), matrix.outputs_last)
        bias = checked_bias(layer, self.recodable(op), new)
        if bias is not None:
            held = self._tensors[op.inputs[2]].data
            assert held is not None
            yield held, bias.view(np.uint8)

    def _is_own(self, op: FileOperator, position: int) -> bool:
        """Whether an input is a constant of plain layout that nothing else reads."""
        index = op.inputs[position] if position < len(op.inputs) else -1
        if index < 0 or (data := self._tensors[index].data) is None:
            return False
        return (
            self._readers[index] == 1
            and self._sharers[address(data)] == 1
            and self._tensors[index].name not in self._fixed
        )


def _bytes_of(network: Network) -> bytearray:
    data = read_plain(network.path)
    if hashlib.sha256(data).hexdigest() != network.sha256:
        raise InputError(f"{network.path}: the file has changed since it was read; read it again")
    return bytearray(data)


def _stored(tensor: FileTensor, weights: NDArray[np.integer], outputs_last: bool) -> NDArray[np.uint8]:
    """Weights of shape (N, K) as bytes of the file."""
    laid_out = np.ascontiguousarray(weights.T if outputs_last else weights).reshape(-1)
    bits = BITS[tensor.dtype]
    plain = laid_out.view(np.uint8)
    return plain if bits >= 8 else pack(plain & np.uint8((1 << bits) - 1), bits)
