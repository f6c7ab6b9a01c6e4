"""Decodes image files to pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fewflips.errors import InputError
from fewflips.files.image_files import open_image


def decode(source: bytes | Path, name: str, size: int, *, fit: bool) -> NDArray[np.uint8]:
    """Pixels of a square RGB image.

    Parameters
    ----------
    source : bytes or Path
        A JPEG, PNG, BMP or WebP file, or its content.
    name : str
        Name for messages.
    size : int
        Required height and width.
    fit : bool
        Whether to crop the image to a centred square and resize it (bicubic); otherwise another size is an error.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        Pixels.

    Raises
    ------
    InputError
        If the image is damaged, too large, or of another size.
    """
    with open_image(source, name) as image:
        if not fit and image.size != (size, size):
            raise InputError(f"{name}: expected an image of {size} x {size} pixels, got {image.width} x {image.height}")
        pixels = image.convert("RGB")
        if pixels.size != (size, size):
            pixels = ImageOps.fit(pixels, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(pixels, dtype=np.uint8)
