"""Changes of JSON, node by node; a text that no encoder would write is put in as it is."""

from __future__ import annotations

import json
import random
from typing import Any

from .values import INTEGERS, integer, real, text

_DEEP = ("[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 500 + "1" + "}" * 500, "[" * 9000 + "]" * 9000)
_RAW = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5000, "-" + "9" * 5000, "1E-999999", "01", "+1", "0x1"),
    *('"\\ud800"', '"\\u0000"', '"a\nb"', '"\\x"', "{,}", "[1,]", "undefined", "'a'", "tru", "1.", ".1", "--1", ""),
)


class Raw(str):
    """Text that stands for itself."""


class Trees:
    """Changes JSON texts."""

    def __init__(self, seeds: list[bytes]) -> None:
        self._seeds = list(seeds)

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """One to a few changes of the tree."""
        return encoded(self.changed_tree(chance, json.loads(content)), chance.choice((None, 1)))

    def changed_tree(self, chance: random.Random, tree: Any) -> Any:
        """The tree, changed in place; another one where its root was."""
        for _ in range(1 + int(chance.expovariate(0.8))):
            tree = self._one(chance, tree)
        return tree

    def _one(self, chance: random.Random, tree: Any) -> Any:
        node, holder, key = tree, None, None
        for _ in range(40):
            if not isinstance(node, dict | list) or not node or chance.random() < 0.1:
                break
            holder = node
            key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
            node = node[key]
        if holder is None:
            return self._value(chance, node)
        way = chance.random()
        if way < 0.6:
            holder[key] = self._value(chance, node)
        elif isinstance(holder, dict):
            self._change_keys(chance, holder, key)
        else:
            self._change_list(chance, holder, key)
        return tree

    def _change_keys(self, chance: random.Random, holder: dict[Any, Any], key: Any) -> None:
        way = chance.random()
        if way < 0.4:
            del holder[key]
        elif way < 0.6:
            holder[text(chance, str(key))] = holder.pop(key)
        elif way < 0.75:
            holder[text(chance)] = self._value(chance, holder[key])
        elif way < 0.9:
            other = chance.choice(list(holder))
            holder[key], holder[other] = holder[other], holder[key]
        else:
            holder[Raw(f"{json.dumps(str(key))}: {chance.choice(('null', '[]', '0'))}, {json.dumps(str(key))}")] = 1

    def _change_list(self, chance: random.Random, holder: list[Any], key: int) -> None:
        way = chance.random()
        if way < 0.25:
            del holder[key]
        elif way < 0.35:
            del holder[key : key + chance.randrange(1, len(holder) + 1)]
        elif way < 0.6:
            holder.insert(key, holder[chance.randrange(len(holder))])
        elif way < 0.75:
            other = chance.randrange(len(holder))
            holder[key], holder[other] = holder[other], holder[key]
        elif way < 0.85:
            holder[key:key] = [holder[key]] * chance.choice((2, 20, 1000))
        else:
            holder.append(self._value(chance, holder[key]))

    def _value(self, chance: random.Random, before: Any) -> Any:
        way = chance.random()
        if way < 0.15:
            return Raw(chance.choice(_RAW))
        if way < 0.18:
            return Raw(chance.choice(_DEEP))
        if way < 0.45 and isinstance(before, int | float) and not isinstance(before, bool):
            return integer(chance, int(before)) if isinstance(before, int) else real(chance, before)
        if way < 0.45 and isinstance(before, str):
            return text(chance, before)
        plain = (None, True, False, [], {}, [[]], {"": 0}, [1, 2, 3], chance.choice(INTEGERS))
        large = 10 ** chance.choice((20, 400))
        return chance.choice((*plain, large, real(chance), text(chance), [before], {"a": before}, str(before)[:1000]))


def encoded(tree: Any, indent: int | None = None) -> bytes:
    """JSON, with raw texts and keys where they stand in for values."""
    pieces: list[str] = []

    def marked(node: Any) -> Any:
        if isinstance(node, Raw):
            pieces.append(str(node))
            return f"\x01raw{len(pieces) - 1}\x01"
        if isinstance(node, dict):
            return {marked(key): marked(value) for key, value in node.items()}
        if isinstance(node, list):
            return [marked(value) for value in node]
        return node

    written = json.dumps(marked(tree), indent=indent, ensure_ascii=False)
    for number, piece in enumerate(pieces):
        written = written.replace(f'"\\u0001raw{number}\\u0001"', piece)
    return written.encode("utf-8", "surrogatepass")
