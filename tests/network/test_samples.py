"""Sample inputs: images, arrays, random values, and what is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewflips.errors import SamplesError
from fewflips.execution import samples as module
from fewflips.execution.samples import load_samples, random_feeds
from fewflips.execution.sessions import InputSpec
from tests.property_settings import examples

IMAGE = InputSpec("image", (1, 4, 6, 3), np.dtype(np.uint8), 1 / 255, 0)
VECTOR = InputSpec("x", (1, 5), np.dtype(np.int8), 0.5, 3)
FLOATS = InputSpec("x", (1, 5), np.dtype(np.float32))


def save_image(folder: Path, name: str, size: tuple[int, int] = (6, 4), seed: int = 0) -> np.ndarray:
    """An image of random pixels, and these pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    return pixels


def save_arrays(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path


def spec_of(dtype: str, shape: tuple[int, ...] = (1, 4, 6, 3)) -> InputSpec:
    return InputSpec("image", shape, np.dtype(dtype))


def test_images_of_the_right_size_keep_their_bytes(tmp_path: Path) -> None:
    second = save_image(tmp_path, "b.png", seed=1)
    first = save_image(tmp_path, "a.bmp", seed=2)
    (tmp_path / "notes.txt").write_text("not an image")
    samples = load_samples(tmp_path, (IMAGE,))
    assert np.array_equal(samples.feeds[0]["image"], first[np.newaxis])
    assert np.array_equal(samples.feeds[1]["image"], second[np.newaxis])
    assert samples.source == f"2 of 2 images in {tmp_path}"
    assert samples.note == (
        "images resized to 4 x 6 (bilinear) and fed as uint8: pixel bytes as they are; "
        "for other preprocessing give an .npz"
    )


@pytest.mark.parametrize(
    ("dtype", "expected", "mapping"),
    [
        ("int8", lambda pixels: pixels.astype(int) - 128, "pixel - 128"),
        ("float32", lambda pixels: pixels / np.float32(255), "pixel / 255"),
    ],
)
def test_pixels_are_mapped_to_the_inputs_type(tmp_path: Path, dtype: str, expected: object, mapping: str) -> None:
    pixels = save_image(tmp_path, "a.png")
    samples = load_samples(tmp_path, (spec_of(dtype),))
    value = samples.feeds[0]["image"]
    assert value.dtype == dtype
    assert np.array_equal(value[0], expected(pixels))  # type: ignore[operator]
    assert mapping in samples.note


def test_channels_first(tmp_path: Path) -> None:
    pixels = save_image(tmp_path, "a.png")
    samples = load_samples(tmp_path, (spec_of("uint8", (1, 3, 4, 6)),))
    assert np.array_equal(samples.feeds[0]["image"][0], pixels.transpose(2, 0, 1))


def test_grey_and_resized(tmp_path: Path) -> None:
    save_image(tmp_path, "a.png", size=(60, 40))
    samples = load_samples(tmp_path, (spec_of("uint8", (1, 4, 6, 1)),))
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(image.convert("L").resize((6, 4), Image.Resampling.BILINEAR))
    assert np.array_equal(samples.feeds[0]["image"][0, :, :, 0], expected)


def test_limit_takes_the_first_by_name(tmp_path: Path) -> None:
    for i in (3, 1, 2):
        save_image(tmp_path, f"{i}.png", seed=i)
    samples = load_samples(tmp_path, (IMAGE,), limit=2)
    assert len(samples.feeds) == 2
    assert samples.source == f"2 of 3 images in {tmp_path}"
    assert np.array_equal(samples.feeds[0]["image"][0], save_image(tmp_path / "again", "1.png", seed=1))


def test_real_images(shared: Path) -> None:
    spec = InputSpec("image", (1, 224, 224, 3), np.dtype(np.uint8))
    samples = load_samples(shared / "images", (spec,))
    assert len(samples.feeds) == 10
    assert all(feed["image"].shape == spec.shape for feed in samples.feeds)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            (VECTOR,),
            r"expected a model with one input of shape \[1, height, width, 1 or 3\] or "
            r"\[1, 1 or 3, height, width\] for images, got 'x' \[1, 5\] int8: give an \.npz of arrays instead",
        ),
        ((IMAGE, VECTOR), r"got 'image' \[1, 4, 6, 3\] uint8, 'x' \[1, 5\] int8"),
        ((spec_of("int16"),), "expected an input of type uint8, int8 or float for images, got 'image'"),
        ((spec_of("uint8", (2, 4, 6, 3)),), "expected a model with one input of shape"),
        ((), "expected a model with inputs, got one without"),
    ],
)
def test_models_without_an_image_input(tmp_path: Path, inputs: tuple[InputSpec, ...], message: str) -> None:
    save_image(tmp_path, "a.png")
    with pytest.raises(SamplesError, match=message):
        load_samples(tmp_path, inputs)


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SamplesError, match=r"expected images \(\.png, .*\), got none: give another folder"):
        load_samples(tmp_path, (IMAGE,))


@pytest.mark.parametrize("length", [0, 10, 60, 90])
def test_damaged_images(tmp_path: Path, length: int) -> None:
    save_image(tmp_path, "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:length])
    with pytest.raises(SamplesError, match=r"a\.png: expected an image, got data that cannot be decoded"):
        load_samples(tmp_path, (IMAGE,))


def test_decompression_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    """A PNG that claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(SamplesError, match=r"bomb\.png: expected an image of at most 100000000 pixels, got"):
        load_samples(tmp_path, (IMAGE,))


def test_too_many_images_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_image(tmp_path, "a.png")
    monkeypatch.setattr(module, "MAX_BYTES", 71)
    with pytest.raises(SamplesError, match=r"expected samples of at most .* GiB, got .* GiB: take fewer of them"):
        load_samples(tmp_path, (IMAGE,))


def test_arrays_by_name(tmp_path: Path) -> None:
    values = np.arange(15, dtype=np.int8).reshape(3, 5)
    path = save_arrays(tmp_path, x=values, labels=np.arange(7))
    samples = load_samples(path, (VECTOR,))
    assert [feed["x"].tolist() for feed in samples.feeds] == [[row] for row in values.tolist()]
    assert (samples.source, samples.note) == (f"3 samples in {path}", "arrays fed as they are")
    assert len(load_samples(path, (VECTOR,), limit=2).feeds) == 2


@pytest.mark.parametrize("shape", [(3, 5), (3, 1, 5), (1, 5)])
def test_leading_axis_counts_samples(tmp_path: Path, shape: tuple[int, ...]) -> None:
    samples = load_samples(save_arrays(tmp_path, anything=np.zeros(shape, np.int8)), (VECTOR,))
    assert len(samples.feeds) == (1 if shape == (1, 5) else 3)
    assert all(feed["x"].shape == (1, 5) for feed in samples.feeds)


def test_floats_are_quantized_with_the_inputs_parameters(tmp_path: Path) -> None:
    path = save_arrays(tmp_path, x=np.array([[0.0, 0.5, -1.0, 1000.0, 0.3]]))
    samples = load_samples(path, (VECTOR,))
    assert samples.feeds[0]["x"].tolist() == [[3, 4, 1, 127, 4]]
    assert samples.note == "floats quantized with the input's own scale and zero point"


def test_integers_of_another_width(tmp_path: Path) -> None:
    samples = load_samples(save_arrays(tmp_path, x=np.array([[1, 2, 3, 4, -128]], np.int64)), (VECTOR,))
    assert samples.feeds[0]["x"].dtype == np.int8


@pytest.mark.parametrize(
    ("arrays", "spec", "message"),
    [
        ({"x": np.zeros((3, 6), np.int8)}, VECTOR, r"input 'x': expected an array of shape \['samples', 1, 5\] or"),
        ({"x": np.zeros((0, 5), np.int8)}, VECTOR, "expected at least one sample, got none"),
        ({"x": np.full((1, 5), 200)}, VECTOR, r"expected integers from -128 to 127 \(int8\), got 200 to 200"),
        ({"x": np.full((1, 5), np.nan)}, VECTOR, "expected finite numbers, got NaN or infinity: replace them"),
        ({"x": np.full((1, 5), np.inf)}, FLOATS, "expected finite numbers, got NaN or infinity"),
        ({"x": np.full((1, 5), 1e300)}, FLOATS, "expected numbers within the range of float32, got larger ones"),
        (
            {"x": np.zeros((1, 5), np.uint8)},
            FLOATS,
            "expected type float32, got uint8: convert it as the model expects",
        ),
        ({"x": np.zeros((1, 5), bool)}, VECTOR, "expected type int8, got bool"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, VECTOR, "expected arrays named 'x', got 'a', 'b': rename them"),
        ({"x": np.array([[None] * 5])}, VECTOR, "expected numbers, got Python objects, which are not loaded"),
        ({"x": np.zeros((1, 5))}, InputSpec("x", (1, 5), np.dtype(np.int8)), "the model gives no scale for them"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], spec: InputSpec, message: str) -> None:
    with pytest.raises(SamplesError, match=message):
        load_samples(save_arrays(tmp_path, **arrays), (spec,))


def test_several_inputs_need_as_many_samples(tmp_path: Path) -> None:
    path = save_arrays(tmp_path, x=np.zeros((3, 5), np.int8), image=np.zeros((2, 4, 6, 3), np.uint8))
    with pytest.raises(SamplesError, match=r"expected as many samples for each input, got \{'x': 3, 'image': 2\}"):
        load_samples(path, (VECTOR, IMAGE))


def test_sources_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(SamplesError, match=r"expected a folder of images or an \.npz file, got a '\.csv' file"):
        load_samples(tmp_path / "data.csv", (VECTOR,))
    with pytest.raises(SamplesError, match=r"expected a folder of images or an \.npz file, got no such path"):
        load_samples(tmp_path / "nothing", (VECTOR,))
    with pytest.raises(SamplesError, match="number of samples: expected at least 1, got 0"):
        load_samples(tmp_path, (VECTOR,), limit=0)


def array_header(shape: str, kind: str = "|i1") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(1000000, 1000000)", "expected samples of at most 2 GiB, got 931 GiB: take fewer of them"),
        ("(-1, 5)", r"got a damaged file: negative shape \(-1, 5\)"),
        ("(3, 5", "got a damaged file"),
        ("'text'", "got a damaged file"),
    ],
)
def test_array_headers_that_lie(tmp_path: Path, shape: str, message: str) -> None:
    path = tmp_path / "lie.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", array_header(shape) + bytes(5))
    with pytest.raises(SamplesError, match=message):
        load_samples(path, (VECTOR,))


def test_compressed_bombs_are_not_unpacked(tmp_path: Path) -> None:
    """An array of 15 bytes in a member of 200 MB: only the array is read; one that is not asked for stays packed."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", array_header("(3, 5)") + bytes(200_000_000))
        archive.writestr("y.npy", array_header("(100000, 100000)"))
    assert path.stat().st_size < 1_000_000
    assert len(load_samples(path, (VECTOR,)).feeds) == 3


@given(data=st.data())
@examples(100)
def test_damaged_archives(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(15, dtype=np.int8).reshape(3, 5))
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        assert all(feed["x"].shape == (1, 5) for feed in load_samples(path, (VECTOR,)).feeds)
    except SamplesError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_random_values_have_the_inputs_type_and_follow_the_seed() -> None:
    inputs = (IMAGE, VECTOR, InputSpec("f", (1, 1000), np.dtype(np.float32)), InputSpec("i", (2,), np.dtype(np.int64)))
    first, second = random_feeds(inputs, 2, seed=0), random_feeds(inputs, 2, seed=0)
    for feed, other in zip(first, second, strict=True):
        for spec in inputs:
            assert (feed[spec.name].shape, feed[spec.name].dtype) == (spec.shape, spec.dtype)
            assert np.array_equal(feed[spec.name], other[spec.name])
    assert not np.array_equal(first[0]["image"], random_feeds(inputs, 1, seed=1)[0]["image"])
    assert first[0]["f"].min() >= 0
    assert first[1]["f"].min() < -1
    assert set(np.unique(first[0]["i"])) <= {0, 1}


def test_random_integers_cover_the_type() -> None:
    spec = InputSpec("x", (1, 20000), np.dtype(np.int8))
    (feed,) = random_feeds((spec,), 1, seed=0)
    assert len(np.unique(feed["x"])) == 256


def test_random_values_of_impossible_size() -> None:
    with pytest.raises(SamplesError, match="random inputs: expected samples of at most 2 GiB, got 3 GiB: take fewer"):
        random_feeds((InputSpec("x", (1, 2**30), np.dtype(np.int8)),), 3, seed=0)


def test_random_text_is_refused() -> None:
    with pytest.raises(SamplesError, match="input 's': expected an integer or float type, got"):
        random_feeds((InputSpec("s", (1,), np.dtype("S1")),), 1, seed=0)


@pytest.mark.parametrize("suffix", ["bmp", "png", "jpg"])
def test_more_pixels_than_a_file_can_hold_are_refused_before_they_are_decoded(tmp_path: Path, suffix: str) -> None:
    """Height in the header is changed; a BMP of 7 x 13,893,638 pixels takes 370 MiB before its data are missed."""
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(tmp_path / f"a.{suffix}")
    data = bytearray((tmp_path / f"a.{suffix}").read_bytes())
    if suffix == "bmp":
        data[22:26] = struct.pack("<i", 13_893_638)
    elif suffix == "png":
        data[16:24] = struct.pack(">II", 9000, 9000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        place = data.index(b"\xff\xc0")
        data[place + 5 : place + 9] = struct.pack(">HH", 9000, 9000)
    (tmp_path / f"a.{suffix}").write_bytes(data)
    message = rf"a\.{suffix}: expected an image, got \d+ x \d+ pixels in {len(data)} bytes, which no photo has"
    with pytest.raises(SamplesError, match=message):
        load_samples(tmp_path, (IMAGE,))


def test_arrays_of_another_shape_are_refused_before_they_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(64 << 20, np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(SamplesError, match=r"got \[67108864\]: reshape it"):
            load_samples(tmp_path / "x.npz", (IMAGE,))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
