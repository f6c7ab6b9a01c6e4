"""ONNX files taken apart: constants, and every other field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from fewflips.network.contents import ConstantPart, Contents
from fewflips.network.onnx.file import OnnxFile
from fewflips.network.onnx.messages import all_tensors

_DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_PLACE = ("external_data", "data_location")


def read_contents(path: Path) -> Contents:
    """Take a file apart.

    Parameters
    ----------
    path : Path
        The file; external data lie beside it.

    Returns
    -------
    Contents
        Initializers and what Constant nodes hold; the rest is every other field of the model. Tensors inside
        subgraphs and attributes belong to the rest, wherever their data lie.

    Raises
    ------
    ModelError
        If the file cannot be read, or is damaged.
    """
    file = OnnxFile(path)
    model = ModelProto()
    model.CopyFrom(file.model)
    named = {id(constant.tensor): name for name, constant in file.constants.items() if constant.tensor is not None}
    matrices = _packed_matrices(file)
    parts = []
    for original, copy in zip(all_tensors(file.model), all_tensors(model), strict=True):
        if copy.data_type == TensorProto.STRING:
            continue
        content = file.payload(original)
        for field in (*_DATA, *_PLACE):
            copy.ClearField(field)
        copy.raw_data = content
        if id(original) in named:
            name = named[id(original)]
            parts.append(ConstantPart(name, "values", _values(copy, matrices.get(name))))
            copy.ClearField("raw_data")
    return Contents(tuple(parts), dict(_fields(model)))


def _values(tensor: TensorProto, matrix: tuple[int, int, int] | None) -> NDArray[np.generic]:
    values: NDArray[np.generic] = np.array(numpy_helper.to_array(tensor))
    if matrix is None:
        return values.reshape(tuple(tensor.dims))
    rows, columns, bits = matrix
    stored = np.unpackbits(values.reshape(-1, 1).view(np.uint8), axis=1, bitorder="little")
    codes = np.packbits(stored.reshape(-1, bits), axis=1, bitorder="little")
    return codes.reshape(rows, columns)


def _packed_matrices(file: OnnxFile) -> dict[str, tuple[int, int, int]]:
    """Rows, columns and bits of the constants whose bytes are the codes of MatMulNBits, and nothing else."""
    readers: defaultdict[str, set[tuple[int, int, int]]] = defaultdict(set)
    for node in file.nodes:
        packed = node.operator == "MatMulNBits" and node.domain == "com.microsoft"
        matrix = node.integer("N", 0), node.integer("K", 0), node.integer("bits", 4)
        for position, name in enumerate(node.inputs):
            readers[name].add(matrix if packed and position == 1 else (0, 0, 0))
    result = {}
    for name, found in readers.items():
        constant = file.constants.get(name)
        rows, columns, bits = min(found)
        if constant is None or constant.element_type != TensorProto.UINT8 or name in file.outputs:
            continue
        fits = min(rows, columns) > 0 and bits in (2, 4, 8) and 8 * constant.size == rows * columns * bits
        if len(found) == 1 and fits:
            result[name] = (rows, columns, bits)
    return result


def _fields(message: Message, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Each field of the model and of its graph by its place; nodes and other entries of lists one by one."""
    for descriptor, value in message.ListFields():
        name = f"{path}{descriptor.name}"
        if descriptor.name == "graph":
            yield from _fields(value, f"{name}.")
        elif isinstance(value, Message):
            yield name, value.SerializeToString(deterministic=True)
        elif descriptor.message_type is not None:
            yield f"the number of {name}", str(len(value)).encode()
            for number, entry in enumerate(value):
                yield _entry_name(name, number, entry), entry.SerializeToString(deterministic=True)
        else:
            yield name, repr(value).encode()


def _entry_name(name: str, number: int, entry: Message) -> str:
    label = getattr(entry, "name", "") or getattr(entry, "key", "")
    operator = getattr(entry, "op_type", "")
    words = " ".join(part for part in (operator, f"'{label}'" if label else "") if part)
    return f"{name}[{number}]" + (f" ({words})" if words else "")
