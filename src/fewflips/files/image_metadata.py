"""Strips from image files everything the pixels do not depend on: text, profiles, thumbnails, EXIF, animations.

Decoders unpack and parse metadata even if it is not used, and a PNG of 67 kB may contain 64 MiB of text.
"""

from __future__ import annotations

import struct

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_ANCILLARY = 0x20
"""Set in the first letter of a chunk that is not needed to decode the image (PNG specification, 5.4)."""

_APPLICATION, _COMMENT, _START_OF_SCAN = range(0xE0, 0xF0), 0xFE, 0xDA
_JFIF, _ADOBE = 0xE0, 0xEE
"""Application segments that determine how colours are coded."""

_ALONE = (0x01, *range(0xD0, 0xDA))
"""Markers without a segment: TEM, restarts, beginning and end of the image."""


def without_metadata(content: bytes) -> bytes:
    """An image file without its metadata.

    Parameters
    ----------
    content : bytes
        The file. PNG and JPEG files lose their metadata; other content is unchanged.

    Returns
    -------
    bytes
        A file with the same pixels; for an animation, those of its first image. Damaged files stay damaged.

    Examples
    --------
    >>> without_metadata(b"BM and so on")
    b'BM and so on'
    """
    if content.startswith(_PNG):
        return _picture_chunks(content)
    if content.startswith(_JPEG):
        return _picture_segments(content)
    return content


def _picture_chunks(content: bytes) -> bytes:
    """A PNG's critical chunks, and its transparent colour."""
    view, place = memoryview(content), len(_PNG)
    kept = [view[:place]]
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, end = content[place + 4 : place + 8], place + 12 + length
        if not kind[0] & _ANCILLARY or kind == b"tRNS":
            kept.append(view[place:end])
        place = end
        if kind == b"IEND":
            break
    return b"".join(kept)


def _picture_segments(content: bytes) -> bytes:
    """A JPEG's segments up to its first scan, without application segments, and everything after them."""
    view, place = memoryview(content), 2
    kept = [view[:place]]
    while place + 4 <= len(content):
        if content[place] != 0xFF or content[place + 1] in (0x00, 0xFF):  # padding, or bytes that decoders skip
            place += 1
            continue
        marker = content[place + 1]
        if marker in _ALONE:
            kept.append(view[place : place + 2])
            place += 2
            continue
        if marker == _START_OF_SCAN:
            break
        (length,) = struct.unpack_from(">H", content, place + 2)
        end = place + 2 + max(2, length)
        if marker in (_JFIF, _ADOBE) or (marker not in _APPLICATION and marker != _COMMENT):
            kept.append(view[place:end])
        place = end
    return b"".join([*kept, view[place:]])
