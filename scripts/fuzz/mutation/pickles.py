"""Changes of pickles, opcode by opcode."""

from __future__ import annotations

import pickletools
import random
import struct

from . import raw

_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_PIECES = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"cnumpy\nndarray\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"c_codecs\nencode\n",
    *(b"r" + struct.pack("<I", value) for value in (0, 1000, 2**31 - 1, 2**32 - 1)),
    *(b"j" + struct.pack("<I", value) for value in (0, 7, 2**32 - 1)),
    *(b"B" + struct.pack("<I", value) for value in (0, 4, 2**31 - 1)),
    *(b"\x8e" + struct.pack("<Q", value) for value in (0, 2**40, 2**63)),
    *(b"\x8d" + struct.pack("<Q", value) for value in (0, 2**40, 2**63)),
    *(b"\x95" + struct.pack("<Q", value) for value in (0, 1, 2**40, 2**63)),
    *(b"\x96" + struct.pack("<Q", value) for value in (0, 2**34)),
    *(b"\x8b" + struct.pack("<i", value) for value in (0, 2**30, -1)),
    *(b"p%d\n" % value for value in (0, -1, 2**31, 10**30)),
    *(b"g%d\n" % value for value in (0, 99)),
    *(b"I%d\n" % value for value in (0, -1, 10**400)),
    *(b"F1e400\n", b"Fnan\n", b"L" + b"9" * 5000 + b"L\n", b"S'a'\n", b"Vabc\\u0041\n", b"P1\n", b"Q", b"\x82\x01"),
    *(b"(", b"t", b"l", b"d", b"}", b"]", b")", b"u", b"s", b"a", b"e", b"0", b"1", b"2", b".", b"R", b"b", b"o"),
    *(b"N", b"\x88", b"\x85", b"\x86", b"\x87", b"\x81", b"\x92", b"\x93", b"\x94", b"\x8f", b"\x90", b"\x91"),
    *(b"K\xff", b"M\xff\xff", b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 8, b"G\x7f\xf0" + bytes(6)),
    *(b"(" * 1000, b"]" * 1000, b"2" * 1000, b"\x85" * 5000),
)


class Pickles:
    """Changes pickles."""

    def __init__(self, seeds: list[bytes]) -> None:
        self._split = {seed: _opcodes(seed) for seed in seeds}
        self._seeds = tuple(seeds)

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """One to a few changes of opcodes, or of bytes."""
        if chance.random() < 0.25:
            return raw.change(chance, content, self._seeds)
        opcodes = list(self._split[content])
        for _ in range(1 + int(chance.expovariate(0.7))):
            self._one(chance, opcodes)
        return b"".join(opcodes)

    def _one(self, chance: random.Random, opcodes: list[bytes]) -> None:
        place, way = chance.randrange(len(opcodes) + 1), chance.random()
        if way < 0.3 or place == len(opcodes):
            opcodes.insert(place, self._piece(chance))
        elif way < 0.5:
            opcodes[place] = self._piece(chance)
        elif way < 0.65:
            del opcodes[place]
        elif way < 0.75:
            other = chance.randrange(len(opcodes))
            opcodes[place], opcodes[other] = opcodes[other], opcodes[place]
        elif way < 0.85:
            opcodes.insert(place, opcodes[chance.randrange(len(opcodes))])
        else:
            opcodes[place] = raw.change(chance, opcodes[place])

    def _piece(self, chance: random.Random) -> bytes:
        return chance.choice(_PIECES if chance.random() < 0.7 else _OPCODES)


def _opcodes(content: bytes) -> list[bytes]:
    places = [place for _, _, place in pickletools.genops(content) if place is not None]
    return [content[begin:end] for begin, end in zip(places, [*places[1:], len(content)], strict=True)]
