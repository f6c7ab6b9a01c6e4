"""A compact binary form of the schedule, whose orders take as many bits as the hardware's index table.

``docs/schedule.md`` specifies the format. A list of indices is stored as the smallest of them and the packed
differences from it, so that an order of T neighbouring indices takes T x ceil(log2 T) bits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.files.input_files import open_plain
from fewflips.files.json_text import parse_json
from fewflips.records.schedule import Axes, Schedule, ScheduledLayer, ScheduledSegment

MAGIC = b"\x89FFS\r\n\x1a\n"
"""The first bytes: no text begins with them, and a transfer that mistakes the file for text changes them."""

_VERSIONS = (1, 2)
_LARGEST_BYTES = 1 << 28
_MOST_INDEX_BITS = 31
_CHECKSUM_BYTES = 32
_HEAD = struct.Struct("<8sH32s")
_COUNT = struct.Struct("<I")
_LAYER = struct.Struct("<II2sI")
_INDICES = struct.Struct("<IIB")


def index_table_bits(lengths: Iterable[int]) -> int:
    """Bits of an index table.

    Parameters
    ----------
    lengths : iterable of int
        Entries of each segment's order, T.

    Returns
    -------
    int
        The sum of T x ceil(log2 T).

    Examples
    --------
    >>> index_table_bits([9, 2, 1])
    38
    """
    return sum(length * (length - 1).bit_length() for length in lengths)


def is_binary_schedule(path: str | Path) -> bool:
    """Whether a file begins as a binary schedule does.

    Parameters
    ----------
    path : str or Path
        May be missing.

    Returns
    -------
    bool
        Also False if the file cannot be read; whoever reads it reports why.
    """
    try:
        with open_plain(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def encode_schedule(schedule: Schedule) -> bytes:
    """Write a schedule in the binary format.

    Parameters
    ----------
    schedule : Schedule
        As :func:`fewflips.schedule.file.build_schedule` makes it.

    Returns
    -------
    bytes
        The whole file, checksum included.

    Raises
    ------
    InputError
        If a segment lacks lanes or an order, or has an index twice or outside its layer.
    """
    parts = [
        _HEAD.pack(MAGIC, schedule.version, bytes.fromhex(schedule.model_sha256)),
        _text(schedule.accelerator.model_dump_json()),
        _COUNT.pack(len(schedule.layers)),
    ]
    for layer in schedule.layers:
        parts += _layer_parts(layer, schedule.has_signs)
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def _layer_parts(layer: ScheduledLayer, signed: bool) -> list[bytes]:
    axes = layer.axes.lanes + layer.axes.order
    parts = [_text(layer.name), _LAYER.pack(layer.n, layer.k, axes.encode(), len(layer.segments))]
    lengths = {"n": layer.n, "k": layer.k}
    try:
        for segment in layer.segments:
            parts.append(_packed(segment.lanes, lengths[layer.axes.lanes]))
            parts.append(_packed(segment.order, lengths[layer.axes.order]))
            if signed:
                parts.append(_flags(segment.negated))
    except ValueError as error:
        raise InputError(f"layer {layer.name}: cannot be written as a binary schedule: {error}") from error
    return parts


def _text(text: str) -> bytes:
    content = text.encode()
    return _COUNT.pack(len(content)) + content


def _packed(indices: tuple[int, ...], axis_length: int) -> bytes:
    values = np.array(indices, dtype=np.int64)
    _check_indices(values, axis_length)
    first, last = int(values.min()), int(values.max())
    width = (last - first).bit_length()
    bits = np.empty((len(values), width), dtype=np.uint8)
    for place in range(width):
        bits[:, place] = (values - first) >> place & 1
    return _INDICES.pack(len(values), first, width) + np.packbits(bits, bitorder="little").tobytes()


def _flags(negated: tuple[int, ...] | None) -> bytes:
    """Whether there are flags, and these, one bit each."""
    if negated is None:
        return bytes([0])
    return bytes([1]) + np.packbits(np.array(negated, dtype=np.uint8), bitorder="little").tobytes()


def _check_indices(values: NDArray[np.int64], axis_length: int) -> None:
    if not len(values):
        raise ValueError("a segment lacks lanes or an order")
    if int(values.max()) >= axis_length:
        raise ValueError(f"a segment has an index {values.max()} where its layer has {axis_length}")
    if len(np.unique(values)) < len(values):
        raise ValueError("a segment has an index twice")


def decode_schedule(content: bytes) -> Schedule:
    """Read a schedule in the binary format.

    Parameters
    ----------
    content : bytes
        The whole file. Its size, not the numbers in it, bounds the memory that is taken.

    Returns
    -------
    Schedule
        :func:`encode_schedule` makes `content` of it again, except for the spacing of the accelerator's JSON.

    Raises
    ------
    ValueError
        If `content` departs from the format in any bit; a pydantic ValidationError if a value is out of range.
    """
    reader = _Reader(_checked_body(content))
    _, version, model = reader.numbers(_HEAD)
    accelerator = parse_json(reader.text())
    layers = tuple(_read_layer(reader, signed=version > 1) for _ in range(reader.numbers(_COUNT)[0]))
    if reader.left:
        raise ValueError(f"{reader.left} bytes follow its last layer: write it again")
    values = {"version": version, "model_sha256": model.hex(), "accelerator": accelerator, "layers": layers}
    return Schedule.model_validate(values | {"index_table_bits": sum(layer.index_table_bits for layer in layers)})


def _checked_body(content: bytes) -> bytes:
    """Everything before the checksum, once size, version and checksum have been found right."""
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"it has {len(content)} bytes, at most {_LARGEST_BYTES} are read")
    if len(content) < _HEAD.size + _CHECKSUM_BYTES:
        raise ValueError("it is cut off: write it again")
    _, version, _ = _HEAD.unpack_from(content)
    if version not in _VERSIONS:
        known = " and ".join(str(known) for known in _VERSIONS)
        raise ValueError(f"it is of version {version}, versions {known} are read: optimize the model again")
    body = content[:-_CHECKSUM_BYTES]
    if hashlib.sha256(body).digest() != content[-_CHECKSUM_BYTES:]:
        raise ValueError("its checksum does not fit, so it was cut off or changed: write it again")
    return body


class _Reader:
    """Takes fields off the front of a file's content."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._place = 0

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self._content) - self._place

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if size > self.left:
            raise ValueError(f"{size} bytes are to follow at offset {self._place}, {self.left} do: write it again")
        self._place += size
        return self._content[self._place - size : self._place]

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The next numbers, laid out as `layout` says."""
        return layout.unpack(self.take(layout.size))

    def text(self) -> bytes:
        """The bytes of the next text, without its length."""
        return bytes(self.take(self.numbers(_COUNT)[0]))


def _read_layer(reader: _Reader, *, signed: bool) -> ScheduledLayer:
    name = reader.text().decode()
    n, k, letters, count = reader.numbers(_LAYER)
    axes = Axes.model_validate({"lanes": chr(letters[0]), "order": chr(letters[1])})
    lengths = {"n": n, "k": k}
    segments = tuple(_read_segment(reader, lengths[axes.lanes], lengths[axes.order], signed) for _ in range(count))
    table_bits = index_table_bits(len(segment.order) for segment in segments)
    return ScheduledLayer(name=name, n=n, k=k, axes=axes, segments=segments, index_table_bits=table_bits)


def _read_segment(reader: _Reader, lanes_length: int, order_length: int, signed: bool) -> ScheduledSegment:
    lanes, order = _read_indices(reader, lanes_length), _read_indices(reader, order_length)
    return ScheduledSegment(lanes=lanes, order=order, negated=_read_flags(reader, len(order)) if signed else None)


def _read_flags(reader: _Reader, count: int) -> tuple[Any, ...] | None:
    """The flags of a segment's words, as many as its order has entries; None where there are none."""
    (present,) = reader.take(1)
    if present > 1:
        raise ValueError(f"a segment has flags or none, 1 or 0, got {present}: write it again")
    if not present:
        return None
    bits = np.unpackbits(np.frombuffer(reader.take(-(-count // 8)), dtype=np.uint8), bitorder="little")
    if bits[count:].any():
        raise ValueError("bits behind the last flag of a segment are not zero: write it again")
    return tuple(bits[:count].tolist())


def _read_indices(reader: _Reader, axis_length: int) -> tuple[int, ...]:
    """The next list of indices; its length is checked against the bits present before memory is allocated."""
    count, first, width = reader.numbers(_INDICES)
    if width > _MOST_INDEX_BITS or count > 1 << width:
        raise ValueError(f"a segment is to have {count} different indices of {width} bits: write it again")
    packed = np.frombuffer(reader.take(-(-count * width // 8)), dtype=np.uint8)
    bits = np.unpackbits(packed, bitorder="little")
    if bits[count * width :].any():
        raise ValueError("bits behind the last index of a segment are not zero: write it again")
    beyond = np.zeros(count, dtype=np.int64)
    for place in range(width):
        beyond |= bits[place : count * width : width].astype(np.int64) << place
    _check_indices(first + beyond, axis_length)
    if beyond.min() or int(beyond.max()).bit_length() < width:
        raise ValueError("a segment's indices take fewer bits than they have: write it again")
    return tuple((first + beyond).tolist())
