"""Changes of a file's bytes, whatever they mean."""

from __future__ import annotations

import random
import struct

from .values import INTEGERS

LONGEST = 1 << 20
"""Files do not grow beyond this: what a larger file costs says nothing about the reader."""


def change(chance: random.Random, content: bytes, others: tuple[bytes, ...] = ()) -> bytes:
    """One to a few changes; `others` are contents to take pieces from."""
    data = bytearray(content)
    for _ in range(_few(chance)):
        chance.choice(_CHANGES)(chance, data, others)
    return bytes(data[:LONGEST])


def _few(chance: random.Random) -> int:
    return min(32, 1 + int(chance.expovariate(0.7)))


def _place(chance: random.Random, data: bytearray) -> int:
    """Somewhere; headers at the beginning and directories at the end are where it matters."""
    if not data:
        return 0
    way = chance.random()
    if way < 0.3:
        return chance.randrange(min(64, len(data)))
    if way < 0.4:
        return len(data) - 1 - chance.randrange(min(64, len(data)))
    return chance.randrange(len(data))


def _flip(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    if data:
        data[_place(chance, data)] ^= 1 << chance.randrange(8)


def _byte(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    if data:
        data[_place(chance, data)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _integer(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    """A word of 2, 4 or 8 bytes, aligned more often than not."""
    size = chance.choice((2, 4, 4, 8))
    if len(data) < size:
        return
    place = min(_place(chance, data), len(data) - size)
    if chance.random() < 0.7:
        place -= place % min(size, 4)
    value = chance.choice(INTEGERS) if chance.random() < 0.7 else chance.randrange(max(1, len(data)))
    order = chance.choice("<>") if chance.random() < 0.3 else "<"
    data[place : place + size] = struct.pack(order + {2: "H", 4: "I", 8: "Q"}[size], value % (1 << 8 * size))


def _truncate(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    del data[_place(chance, data) :]


def _remove(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    place = _place(chance, data)
    del data[place : place + chance.choice((1, 2, 4, 8, 16, chance.randrange(1, 256)))]


def _insert(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    place = _place(chance, data)
    length = chance.choice((1, 2, 4, 8, 64, chance.randrange(1, 1024)))
    data[place:place] = bytes(length) if chance.random() < 0.3 else chance.randbytes(length)


def _same(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    """A run of one value."""
    place, length = _place(chance, data), chance.choice((4, 16, 64, chance.randrange(1, 1024)))
    length = min(length, len(data) - place)
    data[place : place + length] = bytes([chance.choice((0, 255, 32, 65))]) * length


def _repeat(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    place = _place(chance, data)
    piece = data[place : place + chance.choice((1, 4, 16, chance.randrange(1, 256)))]
    data[place:place] = piece * chance.choice((1, 2, 8, 100))


def _splice(chance: random.Random, data: bytearray, others: tuple[bytes, ...]) -> None:
    """A piece of another file, or of this one, in place of what is here."""
    source = chance.choice(others) if others else bytes(data)
    if not source:
        return
    begin = chance.randrange(len(source))
    piece = source[begin : begin + chance.choice((4, 16, 64, chance.randrange(1, 1024)))]
    place = _place(chance, data)
    data[place : place + chance.choice((0, len(piece)))] = piece


_CHANGES = (
    _flip,
    _flip,
    _byte,
    _byte,
    _integer,
    _integer,
    _integer,
    _truncate,
    _remove,
    _insert,
    _same,
    _repeat,
    _splice,
)
