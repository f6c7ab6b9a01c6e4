"""Opens images that may be damaged, or designed to exhaust memory."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fewflips.errors import InputError
from fewflips.files.image_metadata import without_metadata
from fewflips.files.input_files import read_plain, size_of

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Suffixes of the files in a folder that are treated as images; others are ignored."""

MAX_PIXELS = 100_000_000
"""Images with more pixels than this are treated as decompression bombs."""

LARGEST_FILE_BYTES = 1 << 30
"""Image files larger than this are not read."""

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_SMALL_PIXELS = 1 << 20
_MOST_PIXELS_PER_BYTE = 600
"""A single-colour image has 300 pixels per byte as a progressive JPEG, 350 as a PNG; a photo 5 to 50."""

_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, zlib.error)
"""What Pillow raises on damaged images: unidentified and truncated data (OSError), broken PNG chunks
(SyntaxError), and errors that its decoders do not catch."""


@contextmanager
def open_image(source: Path | bytes, name: str, error_type: type[InputError] = InputError) -> Iterator[Image]:
    """Open an image, and convert its decoder's exceptions to fewflips errors.

    Parameters
    ----------
    source : Path or bytes
        A JPEG, PNG, BMP or WebP file, or its content.
    name : str
        Name for messages.
    error_type : type
        Type of the error to raise.

    Yields
    ------
    Image
        A Pillow image, not yet decoded, no larger than :data:`MAX_PIXELS` and than its bytes can hold.

    Raises
    ------
    InputError
        If the image cannot be opened or decoded.
    """
    from PIL import Image

    try:
        content = source if isinstance(source, bytes) else _content(source, name, error_type)
        content = without_metadata(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked below, and oddities in the file
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check_size(image.width, image.height, len(content), name, error_type)
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise error_type(f"{name}: expected an image of at most {MAX_PIXELS} pixels, got more") from error
    except MemoryError as error:
        raise error_type(f"{name}: expected an image that fits in the memory of this machine: remove it") from error
    except _DAMAGED as error:
        raise error_type(f"{name}: expected an image, got data that cannot be decoded: replace or remove it") from error


def _content(path: Path, name: str, error_type: type[InputError]) -> bytes:
    size = size_of(path)
    if size > LARGEST_FILE_BYTES:
        raise error_type(f"{name}: expected an image of at most {LARGEST_FILE_BYTES >> 30} GiB, got {size} bytes")
    return read_plain(path)


def _check_size(width: int, height: int, size: int, name: str, error_type: type[InputError]) -> None:
    if width * height > MAX_PIXELS:
        raise error_type(f"{name}: expected an image of at most {MAX_PIXELS} pixels, got {width} x {height}")
    if width * height > max(_SMALL_PIXELS, _MOST_PIXELS_PER_BYTE * size):
        raise error_type(
            f"{name}: expected an image, got {width} x {height} pixels in {size} bytes, which no photo has: replace or "
            "remove it"
        )
