"""Changes of image files; a PNG's chunks keep their checksums, so that what is in them is looked at."""

from __future__ import annotations

import random
import struct
import zlib

from . import raw
from .values import integer

_MARK = b"\x89PNG\r\n\x1a\n"


def change(chance: random.Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
    """One to a few changes."""
    if not content.startswith(_MARK) or chance.random() < 0.3:
        return raw.change(chance, content, others)
    chunks = _chunks(content)
    for _ in range(1 + int(chance.expovariate(1.0))):
        place = chance.randrange(len(chunks))
        kind, data = chunks[place]
        way = chance.random()
        if kind == b"IHDR" and len(data) == 13 and way < 0.6:
            chunks[place] = (kind, _header(chance, data))
        elif way < 0.6:
            chunks[place] = (kind, raw.change(chance, data))
        elif way < 0.7:
            chunks[place] = (
                chance.choice((b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"acTL", b"eXIf", b"zzzz")),
                data,
            )
        elif way < 0.85 and len(chunks) > 1:
            del chunks[place]
        else:
            chunks.insert(chance.randrange(len(chunks) + 1), chunks[place])
    return _MARK + b"".join(_chunk(kind, data) for kind, data in chunks)


def _header(chance: random.Random, data: bytes) -> bytes:
    """Width, height, depth of a pixel, kind of colours, methods."""
    fields = list(struct.unpack(">IIBBBBB", data))
    place = chance.randrange(len(fields))
    if place < 2:
        fields[place] = integer(chance, fields[place]) % 2**32
    else:
        fields[place] = chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return struct.pack(">IIBBBBB", *fields)


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(_MARK)
    while place + 8 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
