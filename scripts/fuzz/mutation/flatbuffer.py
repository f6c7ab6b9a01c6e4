"""Changes of TFLite files: of what their tables hold, and of the words that flatbuffers are made of."""

from __future__ import annotations

import random
import struct
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from . import raw
from .values import integer, real, text, within

_DEEPEST = 10
_SMALL = {"type", "version", "builtinOptionsType", "padding", "fusedActivationFunction"}
"""Fields that hold enumerations: most of their values are small."""


def change(chance: random.Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
    """A TFLite file with a few changes."""
    way = chance.random()
    if way < 0.25:
        return raw.change(chance, content, others)
    if way < 0.7:
        return _change_words(chance, content)
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        for _ in range(1 + int(chance.expovariate(0.9))):
            _change_table(chance, model)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
    except Exception:  # a value that cannot be packed: the words can hold it
        return _change_words(chance, content)


def _change_words(chance: random.Random, content: bytes) -> bytes:
    """Offsets point elsewhere, lengths and values are others; the layout stays."""
    data = bytearray(content)
    for _ in range(1 + int(chance.expovariate(0.7))):
        place = 4 * chance.randrange(len(data) // 4)
        word = struct.unpack_from("<I", data, place)[0]
        is_offset = 0 < word < len(data) - place
        way = chance.random()
        if is_offset and way < 0.5:
            found = 4 * chance.randrange(len(data) // 4) - place
        elif way < 0.8:
            found = integer(chance, word)
        else:
            half = chance.choice((0, 16))
            found = word ^ (chance.randrange(64) << half)
        struct.pack_into("<I", data, place, found % 2**32)
    return bytes(data)


def _change_table(chance: random.Random, table: Any) -> None:
    """Change one field of a table, or of one that it holds."""
    for _ in range(_DEEPEST):
        held = {name: value for name, value in vars(table).items()}
        names = list(held)
        name = chance.choices(names, [_weight(held[name]) for name in names])[0]
        inner = _inner(chance, held[name])
        if inner is None or chance.random() < 0.15:
            setattr(table, name, _changed(chance, name, held[name]))
            return
        table = inner


def _weight(value: Any) -> int:
    if isinstance(value, list) and value and hasattr(value[0], "__dict__"):
        return 2 + min(len(value), 8)
    return 4 if hasattr(value, "__dict__") else 1 if value is None else 2


def _inner(chance: random.Random, value: Any) -> Any:
    if isinstance(value, list) and value and hasattr(value[0], "__dict__"):
        return chance.choice(value)
    return value if hasattr(value, "__dict__") else None


def _changed(chance: random.Random, name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return _changed_list(chance, value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        if name in _SMALL and chance.random() < 0.8:
            return chance.randrange(0, 40)
        return within(integer(chance, value), -(2**31), 2**31 - 1)
    if isinstance(value, float):
        return real(chance, value)
    if isinstance(value, bytes):
        return text(chance, value.decode("utf-8", "replace")).encode("utf-8", "replace")
    if value is None and chance.random() < 0.5:
        return [integer(chance, 1) % 2**31 for _ in range(chance.randrange(6))]
    return None


def _changed_list(chance: random.Random, values: list[Any]) -> list[Any] | None:
    values, way = list(values), chance.random()
    if not values or way < 0.05:
        return None if way < 0.03 else [integer(chance) for _ in range(chance.randrange(5))]
    place = chance.randrange(len(values))
    if way < 0.2:
        del values[place]
    elif way < 0.35:
        values.insert(place, chance.choice(values))
    elif way < 0.45:
        values[place], values[-1] = values[-1], values[place]
    elif way < 0.5:
        values *= chance.choice((2, 3, 16))
    elif way < 0.55:
        del values[chance.randrange(len(values)) :]
    elif isinstance(values[place], float):
        values[place] = real(chance, values[place])
    elif isinstance(values[place], int):
        values[place] = within(integer(chance, values[place]), -(2**31), 2**31 - 1)
    return values
