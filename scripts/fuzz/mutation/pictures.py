"""Changes of image files, of what each format is made of: chunks of PNG and WebP, segments of JPEG, fields of BMP.

A PNG's chunks keep their checksums, so that what is in them is looked at. Sizes are absurd more often than not, and now
and then there are gibibytes of pixels behind them.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from . import bombs, raw
from .values import integer, within

_MARK, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_FRAMES, _SCAN = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA), 0xDA
"""Markers of JPEG: frames (baseline, extended, progressive, lossless, arithmetic), and the first scan."""
_LONGEST_SEGMENT = 2**16 - 3


def change(chance: random.Random, content: bytes, others: tuple[bytes, ...]) -> bytes:
    """One to a few changes."""
    way = chance.random()
    if way < 0.3:
        return raw.change(chance, content, others)
    if way < 0.303:
        return bombs.picture(chance.choice(((20_000, 50_000), (2**31 - 1, 1), (9_000, 9_000), (100, 70_000))))
    for mark, changed in _FORMATS.items():
        if content.startswith(mark):
            return changed(chance, content)
    return raw.change(chance, content, others)


def _change_png(chance: random.Random, content: bytes) -> bytes:
    chunks = _chunks(content)
    for _ in range(1 + int(chance.expovariate(1.0))):
        place = chance.randrange(len(chunks))
        kind, data = chunks[place]
        way = chance.random()
        if kind == b"IHDR" and len(data) == 13 and way < 0.6:
            chunks[place] = (kind, _header(chance, data))
        elif way < 0.5:
            chunks[place] = (kind, raw.change(chance, data))
        elif way < 0.6:
            chunks.insert(1, (chance.choice((b"zTXt", b"iTXt", b"iCCP")), bombs.metadata()))
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


def _change_jpeg(chance: random.Random, content: bytes) -> bytes:
    """Segments up to the scan; the frame's size, precision and components more often than others."""
    segments, scan = _segments(content)
    for _ in range(1 + int(chance.expovariate(1.0))):
        frames = [place for place, (marker, _) in enumerate(segments) if marker in _FRAMES]
        place = chance.choice(frames if frames and chance.random() < 0.5 else range(len(segments)))
        marker, data = segments[place]
        way = chance.random()
        if marker in _FRAMES and len(data) >= 6 and way < 0.7:
            segments[place] = (chance.choice((marker, marker, *_FRAMES)), _frame(chance, data))
        elif way < 0.5:
            segments[place] = (marker, raw.change(chance, data)[:_LONGEST_SEGMENT])
        elif way < 0.7 and len(segments) > 1:
            del segments[place]
        elif way < 0.85:
            segments.insert(chance.randrange(len(segments) + 1), segments[place])
        else:
            segments[place] = (chance.choice((0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE)), data)
    if chance.random() < 0.2:
        scan = raw.change(chance, scan)
    if chance.random() < 0.05:
        scan = scan[:-2] * chance.choice((2, 50)) + scan[-2:]  # scan upon scan, as a progressive file may have
    whole = (bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data for marker, data in segments)
    return _JPEG + b"".join(whole) + scan


def _frame(chance: random.Random, data: bytes) -> bytes:
    """Bits of a sample, height, width, number of components."""
    fields = list(struct.unpack(">BHHB", data[:6]))
    place = chance.choice((0, 1, 1, 2, 2, 3))
    fields[place] = integer(chance, fields[place]) % (2**8 if place in (0, 3) else 2**16)
    return struct.pack(">BHHB", *fields) + data[6:]


def _segments(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    found, place = [], len(_JPEG)
    while content[place + 1] != _SCAN:
        (length,) = struct.unpack_from(">H", content, place + 2)
        found.append((content[place + 1], content[place + 4 : place + 2 + length]))
        place += 2 + length
    return found, content[place:]


def _change_bmp(chance: random.Random, content: bytes) -> bytes:
    """Fields of the two headers: sizes, offset of the pixels, width, height, planes, bits, compression, colours."""
    data = bytearray(content)
    for _ in range(1 + int(chance.expovariate(1.0))):
        form, place = chance.choice(
            (*(("<i", place) for place in (2, 10, 14, 18, 22, 30, 34, 46, 50)), ("<h", 26), ("<h", 28))
        )
        if len(data) >= place + 4:
            bits = 8 * struct.calcsize(form)
            near = int(struct.unpack_from(form, data, place)[0])
            value = (
                chance.choice((1, 2, 4, 16, 24, 32)) if place == 28 and chance.random() < 0.8 else integer(chance, near)
            )
            struct.pack_into(form, data, place, within(value, -(1 << bits - 1), (1 << bits - 1) - 1))
    return bytes(data)


def _change_webp(chance: random.Random, content: bytes) -> bytes:
    """RIFF chunks; the first bytes of the picture's have its size."""
    chunks, place = [], 12
    while place + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, place + 4)
        chunks.append((content[place : place + 4], content[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    for _ in range(1 + int(chance.expovariate(1.0))):
        place, way = chance.randrange(len(chunks)), chance.random()
        kind, data = chunks[place]
        if way < 0.4:
            chunks[place] = (kind, raw.change(chance, data[:12]) + data[12:])
        elif way < 0.6:
            chunks[place] = (kind, raw.change(chance, data))
        elif way < 0.8:
            size = struct.pack("<I", integer(chance) % 2**24)[:3] + struct.pack("<I", integer(chance) % 2**24)[:3]
            chunks.insert(0, (b"VP8X", bytes([chance.randrange(256), 0, 0, 0]) + size))
        elif way < 0.9:
            chunks[place] = (
                chance.choice((b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP", b"EXIF")),
                data,
            )
        else:
            chunks.insert(chance.randrange(len(chunks) + 1), chunks[place])
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


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


_FORMATS: dict[bytes, Callable[[random.Random, bytes], bytes]] = {
    _MARK: _change_png,
    _JPEG: _change_jpeg,
    b"BM": _change_bmp,
    b"RIFF": _change_webp,
}
"""How to change a picture, by its first bytes."""
