"""Small files that unpack to a great many bytes."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from functools import cache

_BLOCK = 16 << 20


@cache
def zipped(head: bytes = b"", blocks: int = 64, filling: bytes = b"\0") -> bytes:
    """Gzip of a beginning and then of one byte over and over, a gibibyte of it."""
    return gzip.compress(head, mtime=0) + gzip.compress(filling * _BLOCK, mtime=0) * blocks


@cache
def array(shape: str = "67108864,", descr: str = "|u1") -> bytes:
    """An .npy file of 64 MiB of zeros."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(64 << 20)


@cache
def archive(members: tuple[str, ...]) -> bytes:
    """An .npz of such arrays under these names."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in members:
            packed.writestr(zipfile.ZipInfo(name), array(), zipfile.ZIP_DEFLATED)
    array.cache_clear()
    return written.getvalue()


@cache
def metadata() -> bytes:
    """Content of a PNG's packed text or profile: 64 MiB of it."""
    return b"a\0\0" + zlib.compress(bytes(64 << 20), 9)


@cache
def picture(size: tuple[int, int]) -> bytes:
    """A grey PNG that states a number of pixels, and holds at most 64 MiB of them."""
    width, height = size
    body = zlib.compress(bytes(min((width + 1) * height, 64 << 20)), 9)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
