"""A picture of the bits of one weight stream, before and after."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError

_MOST_CYCLES = 192
_MOST_LANES = 16
_BAND_GAP = 1
_PALETTE = ("#eceff3", "#aeb9c7", "#f2a65a", "#c2410c")
_TRANSPARENT = len(_PALETTE)


@dataclass(frozen=True, eq=False)
class StreamPicture:
    """The words of one segment in streaming order, natural and chosen.

    Parameters
    ----------
    layer : str
        Name of the layer.
    segment : int
        Index of the segment within the layer.
    bits : int
        Width of a word, 1 to 16.
    before, after : ndarray of uint8 or uint16, shape (T, L)
        Code on each lane in each cycle.

    Raises
    ------
    InputError
        If the shapes differ, a stream is empty, or a code does not fit its width.
    """

    layer: str
    segment: int
    bits: int
    before: NDArray[np.unsignedinteger] = field(repr=False)
    after: NDArray[np.unsignedinteger] = field(repr=False)

    def __post_init__(self) -> None:
        if self.before.shape != self.after.shape or self.before.ndim != 2 or 0 in self.before.shape:
            raise InputError(
                "stream picture: expected two matrices of the same shape (cycles, lanes), "
                f"got {self.before.shape} and {self.after.shape}"
            )
        if not 1 <= self.bits <= 16 or self.before.dtype.kind != "u" or self.after.dtype.kind != "u":
            raise InputError(
                f"stream picture: expected unsigned codes of 1 to 16 bits, got {self.before.dtype} and "
                f"{self.after.dtype} with {self.bits} bits"
            )
        highest = max(int(self.before.max()), int(self.after.max()))
        if highest >> self.bits:
            raise InputError(f"stream picture: expected codes of {self.bits} bits, got {highest}")


@dataclass(frozen=True)
class Raster:
    """One stream as an image, one pixel per bit: bands of bit positions, most significant on top.

    Parameters
    ----------
    png : bytes
        Indexed-colour PNG.
    cycles, lanes : int
        Cycles and lanes shown in the image; at most those of the stream.
    width, height : int
        Size of the image, in pixels.
    flips : int
        Flips of the whole stream, shown or not.
    rate : float
        The same as a normalized Hamming distance.
    """

    png: bytes = field(repr=False)
    cycles: int
    lanes: int
    width: int
    height: int
    flips: int
    rate: float


def rasters(picture: StreamPicture) -> tuple[Raster, Raster]:
    """Images of both streams of a picture.

    Parameters
    ----------
    picture : StreamPicture
        Both streams.

    Returns
    -------
    before, after : Raster
        Images of the first cycles and lanes, cropped equally.
    """
    return _raster(picture.before, picture.bits), _raster(picture.after, picture.bits)


def palette() -> dict[str, str]:
    """Colours of a raster, for a bit that stays or flips, at 0 or 1."""
    return dict(zip(("stays_0", "stays_1", "flips_to_0", "flips_to_1"), _PALETTE, strict=True))


def band_tops(raster: Raster, bits: int) -> list[tuple[int, int]]:
    """(Bit position, first pixel row) of each band of a raster, from the top."""
    return [(bit, band * (raster.lanes + _BAND_GAP)) for band, bit in enumerate(reversed(range(bits)))]


def _raster(words: NDArray[np.unsignedinteger], bits: int) -> Raster:
    flips = int(np.bitwise_count(words[1:] ^ words[:-1]).sum(dtype=np.int64))
    places = (words.shape[0] - 1) * words.shape[1] * bits
    shown = words[:_MOST_CYCLES, :_MOST_LANES].T.astype(np.int64)
    changed = shown ^ np.concatenate([shown[:, :1], shown[:, :-1]], axis=1)
    gap = np.full((_BAND_GAP, shown.shape[1]), _TRANSPARENT, dtype=np.uint8)
    bands: list[NDArray[np.uint8]] = []
    for bit in reversed(range(bits)):
        bands += [((shown >> bit & 1) + 2 * (changed >> bit & 1)).astype(np.uint8), gap]
    pixels = np.concatenate(bands[:-1])
    return Raster(
        png=_png(pixels),
        cycles=shown.shape[1],
        lanes=shown.shape[0],
        width=pixels.shape[1],
        height=pixels.shape[0],
        flips=flips,
        rate=flips / places if places else 0.0,
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Indexed-colour PNG (ISO/IEC 15948), the last index transparent."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"".join(bytes.fromhex(colour[1:]) for colour in (*_PALETTE, "#ffffff"))
    opacity = bytes([255] * len(_PALETTE) + [0])
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels], axis=1)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"tRNS", opacity), (b"IDAT", zlib.compress(rows.tobytes(), 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
