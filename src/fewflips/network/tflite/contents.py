"""TFLite files taken apart: constants, and every other byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.network.contents import ConstantPart, Contents, Part
from fewflips.network.tflite.constants import constant_names
from fewflips.network.tflite.elements import BITS
from fewflips.network.tflite.file import FileTensor, TFLiteFile, decode

_NUMPY_TYPES = {"BFLOAT16": "uint16", "BOOL": "uint8"}


def read_contents(path: Path) -> Contents:
    """Take a file apart.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Contents
        Constants of the main subgraph, what its tables say, by name, and the file's bytes without the constants.

    Raises
    ------
    ModelError
        If the file cannot be read, or is damaged.
    """
    data = bytearray(path.read_bytes())
    file = decode(data, path)
    names, _ = constant_names(file)
    constants = [file.tensors[index] for index in names]
    parts = tuple(part for tensor in constants for part in _parts(tensor, names[tensor.index]))
    rest = _tables(file)
    for tensor in constants:
        for array in _arrays(tensor):
            array[...] = 0
    return Contents(parts, rest, bytes(data))


def _parts(tensor: FileTensor, name: str) -> Iterator[ConstantPart]:
    if tensor.data is not None:
        yield ConstantPart(name, "values", _values(tensor, tensor.data))
    parameters = tensor.quantization
    vectors: tuple[tuple[Part, NDArray[Any]], ...] = (
        ("scales", parameters.scale),
        ("zero points", parameters.zero_point),
        ("minima", parameters.minimum),
        ("maxima", parameters.maximum),
    )
    for part, vector in vectors:
        if vector.size:
            yield ConstantPart(name, part, vector.copy(), along=parameters.axis)


def _arrays(tensor: FileTensor) -> Iterator[NDArray[Any]]:
    """The file's own bytes of a constant."""
    if tensor.data is not None:
        yield tensor.data
    yield from tensor.quantization.vectors


def _values(tensor: FileTensor, data: NDArray[np.uint8]) -> NDArray[Any]:
    """Elements of a constant as a new array; bytes where its type or its layout is not plain."""
    bits = BITS.get(tensor.dtype)
    if bits is None or tensor.is_sparse:
        return data.copy()
    if bits >= 8:
        return data.copy().view(_NUMPY_TYPES.get(tensor.dtype, tensor.dtype.lower())).reshape(tensor.shape)
    digits = np.unpackbits(data, bitorder="little").reshape(-1, bits)[: tensor.elements]
    codes = (digits << np.arange(bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8).reshape(tensor.shape)
    if tensor.dtype.startswith("U"):
        return codes
    return np.where(codes >= 1 << (bits - 1), codes.astype(np.int8) - np.int8(1 << bits), codes).astype(np.int8)


def _tables(file: TFLiteFile) -> dict[str, bytes]:
    """What a difference is called: each table of the main subgraph as text."""
    tables = {
        "the network's inputs and outputs": repr((file.inputs, file.outputs)),
        "the number of subgraphs": repr(file.subgraphs),
    }
    for tensor in file.tensors:
        described = (tensor.name, tensor.shape, tensor.dtype, tensor.is_variable, tensor.is_sparse)
        parameters = tensor.quantization
        sizes = tuple(vector.size for vector in parameters.vectors)
        tables[f"tensor {tensor.index} ('{tensor.name}')"] = repr((described, sizes, parameters.axis))
        if not tensor.is_constant:
            content = tuple(vector.tolist() for vector in parameters.vectors)
            tables[f"quantization of tensor {tensor.index} ('{tensor.name}')"] = repr(content)
    for number, operator in enumerate(file.operators):
        content = (operator.operator, operator.inputs, operator.outputs, sorted(operator.options.items()))
        tables[f"operator {number} ({operator.operator})"] = repr(content)
    return {name: text.encode() for name, text in tables.items()}
