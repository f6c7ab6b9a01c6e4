from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewflips.errors import InputError
from fewflips.training.config import AugmentationOptions, DatasetOptions
from fewflips.training.datasets import dataset, load_dataset
from fewflips.training.stages.augmentation import augment, to_input
from tests.training.small_datasets import fashion, write_idx

CIFAR_LABELS = np.arange(12) % 10


def jpeg(value: int, size: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 2 * value, 255 - value)).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def archive_arrays(count: int = 12) -> dict[str, np.ndarray]:
    files = [jpeg(10 * i) for i in range(count)]
    arrays = {}
    for split in ("train", "test"):
        arrays[f"{split}_jpeg"] = np.frombuffer(b"".join(files), dtype=np.uint8)
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, files)])
        arrays[f"{split}_labels"] = (np.arange(count) % 10).astype(np.uint8)
    return arrays


def planes() -> np.ndarray:
    """12 images whose red is their number, green their row, blue their column."""
    images = np.zeros((12, 3, 32, 32), dtype=np.uint8)
    images[:, 0] = np.arange(12)[:, None, None]
    images[:, 1] = np.arange(32)[:, None]
    images[:, 2] = np.arange(32)
    return images.reshape(12, 3072)


def python_version(folder: Path, content: object = None) -> Path:
    target = folder / "cifar-10-batches-py"
    target.mkdir(parents=True)
    batch = {b"data": planes(), b"labels": CIFAR_LABELS.tolist(), b"batch_label": b"x"} if content is None else content
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (target / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def binary_version(folder: Path) -> Path:
    target = folder / "cifar-10-batches-bin"
    target.mkdir(parents=True)
    records = np.concatenate([CIFAR_LABELS[:, None].astype(np.uint8), planes()], axis=1)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (target / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def load(name: str, path: Path, **options: int):
    return load_dataset(DatasetOptions(name=name, path=path, **options))


def test_cifar10_from_jpeg_files(tmp_path):
    path = tmp_path / "cifar.npz"
    np.savez(path, **archive_arrays())
    loaded = load("cifar10", path)
    assert loaded.image_shape == (32, 32, 3)
    assert loaded.classes[3] == "cat"
    assert loaded.train.labels.tolist() == CIFAR_LABELS.tolist()
    centre = loaded.test.images[:, 16, 16].int()
    expected = torch.tensor([[10 * i, 20 * i, 255 - 10 * i] for i in range(12)])
    assert (centre - expected).abs().max() <= 2  # JPEG at quality 100


@pytest.mark.parametrize("write", [python_version, binary_version])
def test_cifar10_in_batches(tmp_path, write):
    folder = write(tmp_path / "data")
    for path in (folder, next(folder.iterdir())):
        loaded = load("cifar10", path)
        assert (len(loaded.train), len(loaded.test)) == (60, 12)
        assert loaded.train.labels.dtype == torch.int64
        assert loaded.test.images[7, 3, 5].tolist() == [7, 3, 5]


def test_pickles_of_python_2(tmp_path):
    def string(value: bytes) -> bytes:  # BINSTRING, which Python 3 does not write
        return b"T" + struct.pack("<i", len(value)) + value

    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + b"K\x00K\x01tR(K\x03" + string(b"|") + b"NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"tR"
    array += b"(K\x01K\x0cM\x00\x0c\x86" + dtype + b"\x89" + string(planes().tobytes()) + b"tb"
    batch = b"\x80\x02}(" + string(b"data") + array + string(b"labels") + b"](" + b"K\x03" * 12 + b"eu."
    folder = python_version(tmp_path)
    for file in (folder / "cifar-10-batches-py").iterdir():
        file.write_bytes(batch)
    loaded = load("cifar10", folder)
    assert loaded.test.labels.tolist() == [3] * 12
    assert loaded.test.images[11, 30, 2].tolist() == [11, 30, 2]


def test_shared_cifar10(shared, tmp_path):
    path = shared / "data" / "cifar10_jpeg.npz"
    if not path.exists():
        reason = f"{path} is missing"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    cut = {}
    with np.load(path) as archive:
        offsets, labels = archive["test_offsets"][:101], archive["test_labels"][:100]
        arrays = {"jpeg": archive["test_jpeg"][: offsets[-1]], "offsets": offsets, "labels": labels}
    for split in ("train", "test"):
        cut |= {f"{split}_{name}": array for name, array in arrays.items()}
    np.savez(tmp_path / "cut.npz", **cut)
    loaded = load("cifar10", tmp_path / "cut.npz")
    first = Image.open(io.BytesIO(cut["test_jpeg"][: cut["test_offsets"][1]].tobytes())).convert("RGB")
    assert np.array_equal(loaded.test.images[0].numpy(), np.asarray(first))
    assert np.array_equal(loaded.train.labels.numpy(), labels)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_fashion_mnist(tmp_path, suffix):
    fashion(tmp_path / "FashionMNIST" / "raw", train=30, test=20, suffix=suffix)
    loaded = load("fashion-mnist", tmp_path)
    assert loaded.image_shape == (12, 12, 1)
    assert (len(loaded.train), len(loaded.test)) == (30, 20)
    assert loaded.classes[9] == "Ankle boot"
    assert (loaded.train.images.amin((1, 2, 3)) >= 23 * loaded.train.labels).all()


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_a_folder_of_images(tmp_path, test_name):
    for split in ("train", test_name):
        for value, name in ((30, "apple"), (200, "pear")):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (40, 20), (value,) * 3).save(folder / "a.png")
            Image.new("L", (16, 16), value).save(folder / "b.jpg")
            (folder / "notes.txt").write_text("not an image")
    loaded = load("folder", tmp_path, image_size=16)
    assert loaded.classes == ("apple", "pear")
    assert loaded.train.images.shape == (4, 16, 16, 3)
    assert loaded.train.labels.tolist() == [0, 0, 1, 1]
    assert [int(value) for value in loaded.test.images[:, 8, 8, 0]] == [30, 30, 200, 200]


def test_input_of_the_network_is_pixels_about_zero():
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    assert to_input(pixels).flatten().tolist() == [-1.0, 0.0, 127 / 128]


def test_augmentation_moves_and_mirrors_whole_images():
    images = torch.arange(1, 37, dtype=torch.uint8).view(1, 6, 6, 1).repeat(64, 1, 1, 1)
    options = AugmentationOptions(padding=2)
    varied = augment(images, options, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images[0], (0, 0, 2, 2, 2, 2), value=128)
    crops = [padded[i : i + 6, j : j + 6] for i in range(5) for j in range(5)]
    crops += [crop.flip(1) for crop in crops]
    found = [next(i for i, crop in enumerate(crops) if torch.equal(crop, image)) for image in varied]
    assert len(set(found)) > 20
    again = augment(images, options, torch.Generator().manual_seed(0))
    assert torch.equal(varied, again)


def test_without_augmentation_images_stay():
    images = torch.randint(0, 256, (3, 6, 6, 3), dtype=torch.uint8)
    same = augment(images, AugmentationOptions(padding=0, flip=False), torch.Generator())
    assert torch.equal(same, images)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_labels": None}, "no test_labels"),
        ({"test_labels": np.array([10] * 12, dtype=np.uint8)}, "labels from 0 to 9, got 10 to 10"),
        ({"test_labels": np.zeros(3, dtype=np.uint8)}, "one more in test_offsets"),
        ({"train_offsets": np.arange(13)[::-1].copy()}, "rising places"),
        ({"train_offsets": np.arange(13) * 10**9}, "rising places"),
        ({"train_jpeg": np.zeros(20000, dtype=np.uint8)}, "train image 0: expected an image"),
        ({"train_jpeg": np.zeros(20000)}, "expected bytes"),
    ],
)
def test_damaged_archives(tmp_path, changes, words):
    path = tmp_path / "cifar.npz"
    arrays = archive_arrays() | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=words):
        load("cifar10", path)


def test_archives_that_are_cut_off_anywhere(tmp_path):
    whole = io.BytesIO()
    np.savez(whole, **archive_arrays(10))
    path = tmp_path / "cifar.npz"
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        with pytest.raises(InputError, match=r"cifar\.npz"):
            load("cifar10", path)


def test_an_archive_of_objects_is_not_unpickled(tmp_path):
    path, proof = tmp_path / "cifar.npz", tmp_path / "proof"
    np.savez(path, **archive_arrays() | {"train_jpeg": np.array([_Hostile(proof)], dtype=object)})
    with pytest.raises(InputError, match="'train_jpeg': expected numbers, got Python objects, which are not loaded"):
        load("cifar10", path)
    assert not proof.exists()


def test_an_archive_whose_header_is_no_python(tmp_path):
    whole = io.BytesIO()
    np.savez(whole, **archive_arrays())
    path = tmp_path / "cifar.npz"
    path.write_bytes(whole.getvalue().replace(b"(12,), }", b"(12,     "))  # tokenize.TokenError in NumPy
    with pytest.raises(InputError, match=r"expected the \.npz of CIFAR-10, got a damaged file"):
        load("cifar10", path)


def test_images_of_another_size(tmp_path):
    arrays = archive_arrays()
    files = [jpeg(5, 16)] * 12
    arrays |= {"test_jpeg": np.frombuffer(b"".join(files), np.uint8), "test_offsets": np.cumsum([0, *map(len, files)])}
    np.savez(tmp_path / "cifar.npz", **arrays)
    with pytest.raises(InputError, match="test image 0: expected an image of 32 x 32 pixels, got 16 x 16"):
        load("cifar10", tmp_path / "cifar.npz")


class _Hostile:
    """Unpickled, it creates a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return (Path.touch, (self.proof,))


def test_a_hostile_pickle_is_not_run(tmp_path):
    proof = tmp_path / "proof"
    folder = python_version(tmp_path / "data", {b"data": _Hostile(proof), b"labels": [1]})
    with pytest.raises(InputError, match=r"asks for \S+, which is not loaded: it may be hostile"):
        load("cifar10", folder)
    assert not proof.exists()


@pytest.mark.parametrize(
    "content",
    [
        {b"data": planes()[:, :100], b"labels": [1] * 12},
        {b"data": planes(), b"labels": ["cat"] * 12},
        {b"data": planes(), b"labels": [1] * 11},
        {b"data": planes(), b"labels": [10] * 12},
        {b"data": planes().astype(np.int64), b"labels": [1] * 12},
        {b"data": planes().T.reshape(3072, 12, order="F").T, b"labels": [1] * 13},
        [1, 2, 3],
    ],
)
def test_pickles_of_something_else(tmp_path, content):
    with pytest.raises(InputError, match="cifar-10-batches-py"):
        load("cifar10", python_version(tmp_path / "data", content))


def test_batches_that_are_cut_off(tmp_path):
    for number, write in enumerate((python_version, binary_version)):
        folder = write(tmp_path / str(number))
        file = next(folder.iterdir()) / ("test_batch.bin" if number else "test_batch")
        for size in (0, 1, 500, file.stat().st_size - 1):
            content = file.read_bytes()
            file.write_bytes(content[:size])
            with pytest.raises(InputError):
                load("cifar10", folder)
            file.write_bytes(content)


@pytest.mark.parametrize("damage", ["cut", "magic", "count", "label", "absurd", "gzip", "missing"])
def test_damaged_idx_files(tmp_path, damage):
    folder = fashion(tmp_path / "data")
    images, labels = folder / "t10k-images-idx3-ubyte", folder / "t10k-labels-idx1-ubyte"
    content = images.read_bytes()
    if damage == "cut":
        images.write_bytes(content[:-1])
    elif damage == "magic":
        images.write_bytes(b"\x00\x00\x0d" + content[3:])
    elif damage == "count":
        write_idx(labels, np.zeros(3, dtype=np.uint8))
    elif damage == "label":
        write_idx(labels, np.full(20, 10, dtype=np.uint8))
    elif damage == "absurd":
        images.write_bytes(content[:4] + b"\xff" * 12 + content[16:])
    elif damage == "gzip":
        images.unlink()
        images.with_name(f"{images.name}.gz").write_bytes(b"\x1f\x8b" + content)
    else:
        labels.unlink()
    with pytest.raises(InputError, match="download the file again"):
        load("fashion-mnist", folder)


def test_folders_that_are_no_dataset(tmp_path):
    with pytest.raises(InputError, match="found none"):
        load("folder", tmp_path)
    for name in ("train/a", "train/b", "test/a"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(InputError, match="expected images, got none"):
        load("folder", tmp_path)
    for name in ("train/a", "train/b", "test/a"):
        Image.new("RGB", (8, 8)).save(tmp_path / name / "x.png")
    (tmp_path / "train/b/y.png").write_bytes((tmp_path / "train/b/x.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"y\.png: expected an image"):
        load("folder", tmp_path)
    (tmp_path / "train/b/y.png").unlink()
    (tmp_path / "test/c").mkdir()
    with pytest.raises(InputError, match="another one: 'c'"):
        load("folder", tmp_path)
    shutil.rmtree(tmp_path / "train/b")
    with pytest.raises(InputError, match="at least two classes"):
        load("folder", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "folder"])
def test_what_is_missing(tmp_path, name):
    with pytest.raises(InputError, match=r"dataset\.path: .*does not exist"):
        load(name, tmp_path / "nothing")
    with pytest.raises(InputError, match=r"dataset\.path: .*found n"):
        load(name, tmp_path)


def test_what_does_not_fit_in_memory(tmp_path, monkeypatch):
    path = tmp_path / "cifar.npz"
    np.savez(path, **archive_arrays())
    monkeypatch.setattr(dataset, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="GiB in memory"):
        load("cifar10", path)
