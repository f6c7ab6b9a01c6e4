"""Changes of netlists that stay Verilog: names for names, statements left out, repeated or put in."""

from __future__ import annotations

import random
import re

_NAME = re.compile(rb"\\\S+ |[A-Za-z_]\w*|\d+'[bdh]\w+|\d+")
_KEYWORDS = frozenset(b"module endmodule input output inout wire assign".split())


class Statements:
    """Changes Verilog line by line, mostly behind the list of ports; `extra` are statements to put in."""

    def __init__(self, seeds: list[bytes], extra: tuple[str, ...]) -> None:
        found = {name for seed in seeds for name in _NAME.findall(seed)}
        self._names = [*sorted(found - _KEYWORDS), b"1'b0", b"1'b1", b"1'bx", b"\\odd[0] ", b"VDD", b"other"]
        self._extra = [statement.encode() for statement in extra]

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """One to a few changes."""
        lines = content.split(b"\n")
        for _ in range(1 + int(chance.expovariate(0.9))):
            body = next((i + 1 for i, line in enumerate(lines) if line.rstrip().endswith(b");")), 0)
            first = body if body < len(lines) and chance.random() < 0.85 else 0
            place, way = chance.randrange(first, len(lines)), chance.random()
            if way < 0.6:
                lines[place] = self._renamed(chance, lines[place])
            elif way < 0.7:
                del lines[place]
                lines = lines or [b""]
            elif way < 0.8:
                lines.insert(place, lines[chance.randrange(len(lines))])
            else:
                lines.insert(max(1, place), chance.choice(self._extra))
        return b"\n".join(lines)

    def _renamed(self, chance: random.Random, line: bytes) -> bytes:
        names = [match for match in _NAME.finditer(line) if match[0] not in _KEYWORDS]
        if not names:
            return line
        chosen = chance.choice(names)
        return line[: chosen.start()] + chance.choice(self._names) + line[chosen.end() :]
