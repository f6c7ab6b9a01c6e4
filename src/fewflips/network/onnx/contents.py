"""ONNX files taken apart: constants, and every other field."""

from __future__ import annotations

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
    parts = []
    for original, copy in zip(all_tensors(file.model), all_tensors(model), strict=True):
        if copy.data_type == TensorProto.STRING:
            continue
        content = file.payload(original)
        for field in (*_DATA, *_PLACE):
            copy.ClearField(field)
        copy.raw_data = content
        if id(original) in named:
            parts.append(ConstantPart(named[id(original)], "values", _values(copy)))
            copy.ClearField("raw_data")
    return Contents(tuple(parts), dict(_fields(model)))


def _values(tensor: TensorProto) -> NDArray[np.generic]:
    values: NDArray[np.generic] = np.array(numpy_helper.to_array(tensor))
    return values.reshape(tuple(tensor.dims))


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
