from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fewflips.errors import InputError
from fewflips.report.html.picture import StreamPicture, band_tops, palette, rasters
from tests.report.sample_reports import stream_picture

WORDS = np.array([[0b01, 0b11], [0b00, 0b10], [0b00, 0b00]], dtype=np.uint8)


def colours(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def named(pixel: np.ndarray) -> str:
    if pixel[3] == 0:
        return "gap"
    code = "#{:02x}{:02x}{:02x}".format(*pixel[:3])
    return next(name for name, colour in palette().items() if colour == code)


def test_every_bit_has_its_pixel():
    # Worked out by hand: bands of bit 1 and bit 0, two lanes each, a gap between them.
    before, _ = rasters(StreamPicture("conv", 0, 2, WORDS, WORDS))
    pixels = [[named(pixel) for pixel in row] for row in colours(before.png)]
    assert pixels == [
        ["stays_0", "stays_0", "stays_0"],  # bit 1, lane 0
        ["stays_1", "stays_1", "flips_to_0"],  # bit 1, lane 1
        ["gap", "gap", "gap"],
        ["stays_1", "flips_to_0", "stays_0"],  # bit 0, lane 0
        ["stays_1", "flips_to_0", "stays_0"],  # bit 0, lane 1
    ]
    assert before.flips == 3
    assert before.rate == 3 / 8
    assert band_tops(before, 2) == [(1, 0), (0, 3)]


def test_flips_are_those_of_the_whole_stream():
    picture = stream_picture(cycles=400, lanes=40)
    before, after = rasters(picture)
    assert (before.cycles, before.lanes) == (192, 16)
    assert (after.width, after.height) == (192, 8 * 17 - 1)
    assert before.flips == int(np.bitwise_count(picture.before[1:] ^ picture.before[:-1]).sum())
    assert after.flips < before.flips


def test_wide_words_and_a_single_cycle():
    words = np.array([[0x1FF]], dtype=np.uint16)
    before, _ = rasters(StreamPicture("conv", 0, 9, words, words))
    assert (before.flips, before.rate, before.height) == (0, 0.0, 17)


@pytest.mark.parametrize(
    ("bits", "before", "after"),
    [
        (8, WORDS, WORDS[:2]),
        (8, WORDS[:, :0], WORDS[:, :0]),
        (1, WORDS, WORDS),
        (17, WORDS, WORDS),
        (8, WORDS.astype(np.int8), WORDS),
    ],
)
def test_unusable_pictures_are_refused(bits, before, after):
    with pytest.raises(InputError, match="stream picture: expected"):
        StreamPicture("conv", 0, bits, before, after)
