"""Changes of .npz archives: of their arrays' headers, of their members, and of the zip's own fields."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile

import numpy as np

from . import bombs, raw
from .values import integer, text

_TYPES = (
    *(
        "|u1",
        "|i1",
        "<u2",
        ">u4",
        "<i8",
        "<f2",
        "<f4",
        ">f8",
        "<c16",
        "|O",
        "|b1",
        "<U9",
        "|S3",
        "<M8[ns]",
        "|V8",
        "|V0",
    ),
    *("<U99999999", "|S2147483647", "[('a', '<i4'), ('b', '|O')]", "u1" * 500, "<f3", "", "float999", "<m8", "|U0"),
)
_HEADERS = (
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (",
    b"{'descr': '|u1', 'fortran_order': 1, 'shape': 3}",
    b"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), 'more': 1}",
    b"{'shape': (3,)}",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (3L,), }",
    b"[" * 200,
    b"(" * 90 + b")" * 90,
    b"1" * 5000,
    b"-" * 3000 + b"1",
    b"__import__('os').system('true')",
    b"'''",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (\\\n",
    b"",
)


class Archives:
    """Changes archives as `numpy.savez` writes them."""

    def __init__(self, seeds: list[bytes]) -> None:
        self._members = {seed: _members(seed) for seed in seeds}
        self._seeds = tuple(seeds)

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """Bytes, a field of the zip, or its members, packed anew."""
        way = chance.random()
        if way < 0.002:
            return bombs.archive(tuple(name for name, _ in self._members[content]))
        if way < 0.2:
            return raw.change(chance, content, self._seeds)
        if way < 0.4:
            return _change_fields(chance, content)
        members = list(self._members[content])
        for _ in range(1 + int(chance.expovariate(1.0))):
            self._change_members(chance, members)
        return packed(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))

    def _change_members(self, chance: random.Random, members: list[tuple[str, bytes]]) -> None:
        if not members:
            return
        place, way = chance.randrange(len(members)), chance.random()
        name, content = members[place]
        if way < 0.65:
            members[place] = (name, change_array(chance, content))
        elif way < 0.75:
            members[place] = (_member_name(text(chance, name)), content)
        elif way < 0.85:
            del members[place]
        elif way < 0.95:
            members.append((chance.choice(members)[0], content))
        else:
            members[place] = (name, raw.change(chance, content, self._seeds))


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _member_name(name: str) -> str:
    """A name that a zip can hold."""
    return name.encode("utf-8", "replace").decode()[:60000] or "x"


def packed(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of members; names may be there twice."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(written, "w", method) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return written.getvalue()


def change_array(chance: random.Random, content: bytes) -> bytes:
    """An .npy file whose header says something else of the same values."""
    way = chance.random()
    if way < 0.15:
        return raw.change(chance, content)
    values = _array(content)
    if values is None:
        return raw.change(chance, content)
    if way < 0.3:
        return _with_header(chance.choice(_HEADERS), values.tobytes(), chance)
    shape, descr, order = list(values.shape), values.dtype.str, values.flags.f_contiguous and values.ndim > 1
    for _ in range(1 + int(chance.expovariate(1.0))):
        which = chance.random()
        if which < 0.4 and shape:
            place = chance.randrange(len(shape))
            shape[place] = integer(chance, shape[place])
        elif which < 0.6:
            shape.insert(chance.randrange(len(shape) + 1), chance.choice((0, 1, 1, 2, -1, 2**40)))
        elif which < 0.65:
            shape = shape * chance.choice((0, 2, 20))
        elif which < 0.7:
            order = not order
        else:
            descr = chance.choice(_TYPES)
    described = descr if descr.startswith("[") else repr(descr)
    written = ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "")
    header = f"{{'descr': {described}, 'fortran_order': {order}, 'shape': ({written}), }}".encode()
    return _with_header(header, values.tobytes(), chance)


def _array(content: bytes) -> np.ndarray | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on headers of Python 2
            return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # a header that was changed before may raise anything
        return None


def _with_header(header: bytes, values: bytes, chance: random.Random) -> bytes:
    version = chance.choice((1, 1, 1, 1, 2, 3, 4, 255))
    length = len(header) + 1 if chance.random() < 0.9 else abs(integer(chance, len(header)))
    field = struct.pack("<H", length % 2**16) if version == 1 else struct.pack("<I", length % 2**32)
    return b"\x93NUMPY" + bytes([version, 0]) + field + header + b"\n" + values


def _change_fields(chance: random.Random, content: bytes) -> bytes:
    """A field of a local header, of the directory or of its end is another."""
    data = bytearray(content)
    for _ in range(1 + int(chance.expovariate(1.0))):
        marks = [place for mark in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06") for place in _places(data, mark)]
        if not marks:
            break
        place = chance.choice(marks) + chance.choice((4, 6, 8, 10, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 42))
        size = chance.choice((2, 4))
        if place + size <= len(data):
            value = integer(chance, int.from_bytes(data[place : place + size], "little"))
            data[place : place + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def _places(data: bytearray, mark: bytes) -> list[int]:
    found, place = [], data.find(mark)
    while place >= 0 and len(found) < 64:
        found.append(place)
        place = data.find(mark, place + 1)
    return found
