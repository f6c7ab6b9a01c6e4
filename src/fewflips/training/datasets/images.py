"""Decoding image files to pixels."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fewflips.errors import InputError

MAX_PIXELS = 100_000_000
"""Images with more pixels than this are taken for decompression bombs."""

_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, zlib.error)
"""What Pillow raises on damaged images: unidentified and truncated data (OSError), broken PNG chunks
(SyntaxError), and what its decoders let through."""


def decode(source: IO[bytes] | Path, name: str, size: int, *, fit: bool) -> NDArray[np.uint8]:
    """Pixels of a square RGB image.

    Parameters
    ----------
    source : file object or Path
        A JPEG, PNG, BMP or WebP file.
    name : str
        For messages.
    size : int
        Height and width wanted.
    fit : bool
        Cut the image to a square about its centre and resize it (bicubic); otherwise another size is an error.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        Pixels.

    Raises
    ------
    InputError
        If the image is damaged, too large, or of another size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=("JPEG", "PNG", "BMP", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS or (not fit and image.size != (size, size)):
                    expected = f"at most {MAX_PIXELS} pixels" if fit else f"{size} x {size} pixels"
                    raise InputError(f"{name}: expected an image of {expected}, got {image.width} x {image.height}")
                pixels = image.convert("RGB")
                if pixels.size != (size, size):
                    pixels = ImageOps.fit(pixels, (size, size), Image.Resampling.BICUBIC)
                return np.asarray(pixels, dtype=np.uint8)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: expected an image of at most {MAX_PIXELS} pixels, got more") from error
    except _DAMAGED as error:
        raise InputError(f"{name}: expected an image, got data that cannot be decoded: replace or remove it") from error
