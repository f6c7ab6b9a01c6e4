"""Where in an ONNX file the raw data of its initializers lie, which the protobuf package does not tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnx import TensorProto

_GRAPH_OF_MODEL, _INITIALIZER_OF_GRAPH, _NAME_OF_TENSOR, _RAW_DATA_OF_TENSOR = 7, 5, 8, 9
"""Numbers of fields in onnx.proto."""

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields on the wire."""

_MOST_FIELDS = 1 << 20
"""Initializers that lie behind more fields than this are not looked for."""


def raw_data_offsets(data: bytes, initializers: Mapping[str, TensorProto]) -> dict[str, int]:
    """Find the raw data of initializers in a file.

    Parameters
    ----------
    data : bytes
        The file; it has been decoded as a model.
    initializers : mapping of str to TensorProto
        Initializers of the decoded model, by name.

    Returns
    -------
    dict of str to int
        Offset of the raw data of each that was found; the bytes there have been compared with the message's.
    """
    return {
        name: offset
        for name, (offset, length) in _places(data).items()
        if name in initializers and _holds(initializers[name], data, offset, length)
    }


def _holds(tensor: TensorProto, data: bytes, offset: int, length: int) -> bool:
    content = tensor.raw_data
    return tensor.data_location != TensorProto.EXTERNAL and len(content) == length and data.startswith(content, offset)


def _places(data: bytes) -> dict[str, tuple[int, int]]:
    """Offset and length of the raw data of each initializer, by name."""
    walk = _Walk(data)
    found: dict[str, tuple[int, int]] = {}
    for graph in walk.fields(_GRAPH_OF_MODEL, 0, len(data)):
        for initializer in walk.fields(_INITIALIZER_OF_GRAPH, *graph):
            names = [data[start:end] for start, end in walk.fields(_NAME_OF_TENSOR, *initializer)]
            contents = list(walk.fields(_RAW_DATA_OF_TENSOR, *initializer))
            if names and contents:
                start, end = contents[-1]
                found[names[-1].decode("utf-8", "replace")] = (start, end - start)
    return found


class _Walk:
    """Steps over the fields of messages, without reading what is in them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MOST_FIELDS

    def fields(self, wanted: int, position: int, end: int) -> Iterator[tuple[int, int]]:
        """Beginning and end of each field of a number in a message that lies at some place."""
        while position < end and self._left:
            self._left -= 1
            key, position = self._varint(position, end)
            number, kind = key >> 3, key & 7
            if kind == _LENGTH:
                length, position = self._varint(position, end)
                if number == wanted and position + length <= end:
                    yield position, position + length
                position += length
            elif kind == _VARINT:
                _, position = self._varint(position, end)
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                position += 8 if kind == _EIGHT_BYTES else 4
            else:
                return

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A number, seven bits a byte, and the place behind it."""
        value, shift = 0, 0
        while position < end:
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return value, position
