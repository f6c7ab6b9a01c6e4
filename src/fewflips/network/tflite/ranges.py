"""Writing a TFLite file again with other ranges of its activations."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fewflips.errors import InputError
from fewflips.files.atomic import atomic_write
from fewflips.files.input_files import read_plain
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.network.graph import Network
from fewflips.network.ranges import ActivationRange, NewRange, ranges_of, rescaled_bias
from fewflips.network.tflite.constants import constant_names
from fewflips.network.tflite.file import FileOperator, FileTensor, TFLiteFile, address, decode

_WEIGHTED = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
_REQUANTIZING = _WEIGHTED | {"ADD"}
"""Operators whose inputs and outputs may each have a range of their own."""
_TYPES = {"INT8": INT8, "UINT8": UINT8}
_BIAS = 2


def rescalable(network: Network) -> dict[str, ActivationRange]:
    """Ranges that can be replaced, by their tensor's name.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.tflite.reader.read` gave it; its file is read again.

    Returns
    -------
    dict of str to ActivationRange
        Of tensors of 8 bits that layers and sums write and read, and nothing else does.
    """
    return _Places(decode(_bytes_of(network), network.path)).ranges()


def rewrite_ranges(network: Network, ranges: Mapping[str, NewRange], destination: Path) -> None:
    """Write a network's file again with other ranges and the biases that follow from them; every other byte stays.

    Parameters
    ----------
    network : Network
        As :func:`fewflips.network.tflite.reader.read` gave it.
    ranges : mapping of str to NewRange
        By the tensor's name.
    destination : Path
        The file to write; it appears complete or not at all.

    Raises
    ------
    InputError
        If the file has changed since it was read, or a range cannot be replaced or does not fit.
    OutputError
        If the destination cannot be written.
    """
    data = _bytes_of(network)
    places = _Places(decode(data, network.path))
    for place, new in ranges_of(network, places.ranges(), ranges):
        places.replace(place, new)
    atomic_write(Path(destination), bytes(data))


class _Places:
    """Where a file keeps the ranges of its activations, and which of them belong to one tensor alone."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file = file
        _, self._fixed = constant_names(file)
        self._writers = {index: op for op in file.operators for index in op.outputs}
        self._readers: dict[int, list[FileOperator]] = {}
        for op in file.operators:
            for index in op.inputs:
                self._readers.setdefault(index, []).append(op)
        vectors = [vector for tensor in file.tensors for vector in tensor.quantization.vectors if vector.size]
        self._sharers = Counter(address(vector) for vector in vectors)
        self._sharers.update(address(tensor.data) for tensor in file.tensors if tensor.data is not None)
        self._sharers.update(address(data) for data in file.elsewhere)
        self._by_name = {tensor.name: tensor for tensor in file.tensors}

    def ranges(self) -> dict[str, ActivationRange]:
        """See :func:`rescalable`."""
        if self._file.subgraphs > 1:
            return {}
        return {
            tensor.name: ActivationRange(
                tensor.name,
                _TYPES[tensor.dtype],
                float(tensor.quantization.scale[0]),
                int(tensor.quantization.zero_point[0]),
            )
            for tensor in self._file.tensors
            if self._is_free(tensor)
        }

    def replace(self, place: ActivationRange, new: NewRange) -> None:
        """Put a range, and what follows from it, into the file's bytes."""
        tensor = self._by_name[place.tensor]
        tensor.quantization.scale[0] = place.scale * new.factor
        tensor.quantization.zero_point[0] = new.zero_point
        for op in self._readers[tensor.index]:
            bias = self._bias(op)
            if bias is not None and bias.data is not None:
                values = bias.data.view(np.int32)
                values[...] = rescaled_bias(place.tensor, values, new.factor)
                bias.quantization.scale[...] *= np.float32(new.factor)

    def _is_free(self, tensor: FileTensor) -> bool:
        """Whether an activation's range can be replaced."""
        writer, readers = self._writers.get(tensor.index), self._readers.get(tensor.index, [])
        if writer is None or not readers or tensor.is_constant or tensor.is_variable:
            return False
        return (
            tensor.dtype in _TYPES
            and tensor.index not in {*self._file.inputs, *self._file.outputs}
            and tensor.quantization.scale.size == tensor.quantization.zero_point.size == 1
            and self._is_own(tensor)
            and writer.operator in _REQUANTIZING
            and all(self._can_follow(op, tensor) for op in readers)
        )

    def _can_follow(self, op: FileOperator, tensor: FileTensor) -> bool:
        """Whether an operator still computes the same, up to rounding, of a tensor whose range is another."""
        if op.operator not in _WEIGHTED:
            return op.operator == "ADD"
        if op.inputs[0] != tensor.index or tensor.index in op.inputs[1:]:
            return False
        bias = self._bias(op)
        if bias is None:
            return True
        return (
            bias.dtype == "INT32"
            and bias.data is not None
            and len(self._readers[bias.index]) == 1
            and bias.name not in self._fixed
            and self._sharers[address(bias.data)] == 1
            and self._is_own(bias)
        )

    def _bias(self, op: FileOperator) -> FileTensor | None:
        """The bias of a weighted operator, if it has one."""
        if op.operator not in _WEIGHTED or len(op.inputs) <= _BIAS or op.inputs[_BIAS] < 0:
            return None
        return self._file.tensors[op.inputs[_BIAS]]

    def _is_own(self, tensor: FileTensor) -> bool:
        """Whether no other tensor has its quantization parameters at the same place of the file."""
        vectors = [vector for vector in tensor.quantization.vectors if vector.size]
        return not tensor.quantization.has_details and all(self._sharers[address(vector)] == 1 for vector in vectors)


def _bytes_of(network: Network) -> bytearray:
    data = read_plain(network.path)
    if hashlib.sha256(data).hexdigest() != network.sha256:
        raise InputError(f"{network.path}: the file has changed since it was read; read it again")
    return bytearray(data)
