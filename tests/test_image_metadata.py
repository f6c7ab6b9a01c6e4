"""Images without their metadata have the same pixels, and take no memory for anything else."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from fewflips.errors import InputError
from fewflips.files.image_files import open_image
from fewflips.files.image_metadata import without_metadata

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pictures(mode: str, count: int = 1) -> list[Image.Image]:
    """Images of 24 x 16 random pixels."""
    chance = np.random.default_rng(1)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}
    found = [chance.integers(0, 256, (16, 24, *channels.get(mode, (3,))), np.uint8) for _ in range(count)]
    if mode == "P":
        return [Image.fromarray(pixels).quantize(7) for pixels in found]
    return [Image.frombytes(mode, (24, 16), pixels.tobytes()) for pixels in found]


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """The file with a profile and EXIF."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    written = io.BytesIO()
    image.save(written, form, exif=exif, icc_profile=PROFILE, **options)
    return written.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def plain_png() -> bytes:
    written = io.BytesIO()
    pictures("RGB")[0].save(written, "PNG")
    return written.getvalue()


def text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 10_000, zip=True)
    info.add_itxt("Title", "b" * 100)
    return info


FILES = {
    "png": lambda: saved(pictures("RGB")[0], "PNG", pnginfo=text(), dpi=(72, 72)),
    "png palette": lambda: saved(pictures("P")[0], "PNG", transparency=3),
    "png grey": lambda: saved(pictures("L")[0], "PNG", transparency=7),
    "png alpha": lambda: saved(pictures("RGBA")[0], "PNG"),
    "apng": lambda: saved(pictures("RGB")[0], "PNG", save_all=True, append_images=pictures("RGB", 3)[1:]),
    "jpeg": lambda: saved(pictures("RGB")[0], "JPEG", comment=b"a comment"),
    "jpeg grey": lambda: saved(pictures("L")[0], "JPEG"),
    "jpeg progressive": lambda: saved(pictures("RGB")[0], "JPEG", progressive=True, restart_marker_rows=1),
    "jpeg cmyk": lambda: saved(pictures("CMYK")[0], "JPEG"),
    "jpeg of several": lambda: saved(pictures("RGB")[0], "MPO", save_all=True, append_images=pictures("RGB", 2)[1:]),
}


@pytest.mark.parametrize("name", FILES)
def test_pixels_stay_and_metadata_go(name: str) -> None:
    content = FILES[name]()
    with Image.open(io.BytesIO(content)) as before, Image.open(io.BytesIO(without_metadata(content))) as after:
        assert "icc_profile" in before.info
        assert before.getexif()
        for mode in ("RGB", "L", "RGBA"):
            if before.mode != "CMYK" or mode != "RGBA":
                assert np.array_equal(np.asarray(before.convert(mode)), np.asarray(after.convert(mode)))
        assert not after.getexif()
        assert not {"icc_profile", "exif", "comment", "Comment", "Title", "mp"} & set(after.info)
        assert not getattr(after, "text", None)
        assert getattr(after, "n_frames", 1) == 1


@pytest.mark.parametrize("form", ["BMP", "WEBP"])
def test_other_files_stay(form: str) -> None:
    written = io.BytesIO()
    pictures("RGB")[0].save(written, form)
    assert without_metadata(written.getvalue()) == written.getvalue()


@given(name=st.sampled_from(sorted(FILES)), length=st.integers(0, 2000), byte=st.integers(0, 255), place=st.integers(0))
def test_damaged_files_do_not_raise_and_do_not_grow(name: str, length: int, byte: int, place: int) -> None:
    content = bytearray(FILES[name]()[: length or None])
    content[place % len(content)] = byte
    assert len(without_metadata(bytes(content))) <= len(content)


def peak(source: Path) -> int:
    """Most memory while an image is opened and decoded, in bytes; a refusal is as good."""
    tracemalloc.start()
    try:
        with open_image(source, source.name) as image:
            np.asarray(image.convert("RGB"))
    except InputError:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most


def test_a_chunk_longer_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    """Pillow reads what is left of the last IDAT chunk in one piece: by its length field, up to 4 GiB."""
    content = bytearray(plain_png())
    place = content.index(b"IDAT") - 4
    content[place : place + 4] = struct.pack(">I", 2**32 - 1)
    (tmp_path / "a.png").write_bytes(content)
    assert peak(tmp_path / "a.png") < 4 << 20


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt"])
@pytest.mark.parametrize("behind", [False, True])
def test_packed_text_is_not_unpacked(tmp_path: Path, kind: bytes, behind: bool) -> None:
    """64 texts of a mebibyte, a kilobyte each in the file, before or behind the pixels."""
    content = plain_png()
    packed = zlib.compress(("a" * (2**20 - 4) + "\U0001f600").encode(), 9)
    chunks = [
        chunk(kind, b"key%d\0" % i + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + packed) for i in range(63)
    ]  # Pillow itself stops at 64 MiB
    place = content.index(b"IEND") - 4 if behind else content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:place] + b"".join(chunks) + content[place:])
    assert peak(tmp_path / "a.png") < 4 << 20
    with open_image(tmp_path / "a.png", "a.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(pictures("RGB")[0]))


def test_segments_of_applications_do_not_reach_the_decoder(tmp_path: Path) -> None:
    """EXIF whose entries overlap made 100 kB take 200 MB in earlier versions of Pillow."""
    entries, size = 2000, 30_000
    fields = b"".join(struct.pack("<HHII", 0x100 + i, 7, size, 8) for i in range(entries))
    exif = b"II*\0" + struct.pack("<IH", 8, entries) + fields + bytes(4)
    exif = b"Exif\0\0" + exif.ljust(size + 100, b"\0")
    jpeg = FILES["jpeg grey"]()
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    assert peak(tmp_path / "a.jpg") < 4 << 20
    with open_image(tmp_path / "a.jpg", "a.jpg") as image:
        assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


def test_files_of_more_than_a_gibibyte(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as sparse:
        sparse.truncate((1 << 30) + 1)
    expected = r"a\.png: expected an image of at most 1 GiB, got 1073741825 bytes"
    with pytest.raises(InputError, match=expected), open_image(tmp_path / "a.png", "a.png"):
        pass


def test_an_image_that_memory_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(plain_png())
    expected = r"a\.png: expected an image that fits in the memory of this machine"
    with pytest.raises(InputError, match=expected), open_image(tmp_path / "a.png", "a.png"):
        raise MemoryError
