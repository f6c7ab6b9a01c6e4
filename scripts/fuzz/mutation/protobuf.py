"""Changes of protobuf messages, field by field."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .values import integer, real, text, within

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_DEEPEST = 12


def change(chance: random.Random, message: Message) -> None:
    """Change one field of a message, or of one that it holds, in place."""
    for _ in range(_DEEPEST):
        held = [(field, value) for field, value in message.ListFields()]
        if not held or chance.random() < 0.12:
            _unset_field(chance, message)
            return
        field, value = chance.choices(held, [_weight(field, value) for field, value in held])[0]
        inner = _inner(chance, field, value)
        if inner is None or chance.random() < 0.12:
            _change_field(chance, message, field)
            return
        message = inner


def _weight(field: Any, value: Any) -> int:
    """Where messages lie, there is most to change; a list of many more than a single one."""
    if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
        return 2
    return 3 + (min(len(value), 12) if _repeated(field) else 6)


def _repeated(field: Any) -> bool:
    known = getattr(field, "is_repeated", None)  # older versions of protobuf have `label` instead
    return bool(field.label == FieldDescriptor.LABEL_REPEATED if known is None else known)


def _inner(chance: random.Random, field: Any, value: Any) -> Message | None:
    if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
        return None
    if not _repeated(field):
        return value
    return chance.choice(value) if len(value) else None


def _unset_field(chance: random.Random, message: Message) -> None:
    """Give a value to any field, set or not."""
    fields = message.DESCRIPTOR.fields
    if fields:
        _change_field(chance, message, chance.choice(fields))


def _change_field(chance: random.Random, message: Message, field: Any) -> None:
    if _repeated(field):
        _change_list(chance, message, field)
    elif chance.random() < 0.12:
        message.ClearField(field.name)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
        if chance.random() < 0.5:
            change(chance, getattr(message, field.name))
    else:
        setattr(message, field.name, _scalar(chance, field, getattr(message, field.name)))


def _change_list(chance: random.Random, message: Message, field: Any) -> None:
    values = getattr(message, field.name)
    way = chance.random()
    if not len(values) or way < 0.2:
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            added = values.add()
            if len(values) > 1 and chance.random() < 0.7:
                added.CopyFrom(chance.choice(values[:-1]))
            else:
                change(chance, added)
        else:
            values.append(_scalar(chance, field, values[0] if len(values) else None))
    elif way < 0.4:
        del values[chance.randrange(len(values))]
    elif way < 0.5:
        begin = chance.randrange(len(values))
        del values[begin : begin + chance.randrange(1, len(values) + 1)]
    elif way < 0.6:
        _exchange(chance, values, field)
    elif way < 0.65:
        for _ in range(chance.choice((1, 10, 100))):
            _append_copy(chance, values, field)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        change(chance, chance.choice(values))
    else:
        place = chance.randrange(len(values))
        values[place] = _scalar(chance, field, values[place])


def _append_copy(chance: random.Random, values: Any, field: Any) -> None:
    chosen = values[chance.randrange(len(values))]
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        values.add().CopyFrom(chosen)
    else:
        values.append(chosen)


def _exchange(chance: random.Random, values: Any, field: Any) -> None:
    """Two elements change places."""
    first, second = chance.randrange(len(values)), chance.randrange(len(values))
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        kept = type(values[first])()
        kept.CopyFrom(values[first])
        values[first].CopyFrom(values[second])
        values[second].CopyFrom(kept)
    else:
        values[first], values[second] = values[second], values[first]


def _scalar(chance: random.Random, field: Any, before: Any) -> Any:
    kind = field.cpp_type
    if kind in _INTEGERS:
        return within(integer(chance, before or 0), *_INTEGERS[kind])
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return real(chance, before or 1.0)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        known = [value.number for value in field.enum_type.values]
        return chance.choice(known)  # unknown ones cannot be set in such messages; changed bytes have them
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(chance, before or b"")
    return text(chance, before or "").encode("utf-8", "replace").decode()


def _bytes(chance: random.Random, before: bytes) -> bytes:
    way = chance.random()
    if way < 0.3:
        return before[: chance.randrange(len(before) + 1)]
    if way < 0.5:
        return before + chance.randbytes(chance.choice((1, 4, 100)))
    if way < 0.8 and before:
        data = bytearray(before)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(data)
    return chance.randbytes(chance.choice((0, 1, 4, 64)))
