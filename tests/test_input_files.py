"""Inputs are plain files: what waits for ever, has no end, or unpacks to a memory's worth is refused."""

from __future__ import annotations

import gzip
import os
import signal
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fewflips import measure, verify
from fewflips.errors import FewflipsError
from fewflips.estimation.calibration_files import read_calibration
from fewflips.execution.samples import load_samples
from fewflips.execution.sessions import InputSpec
from fewflips.files.input_files import most_unpacked, open_plain, read_plain
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.writer import liberty_text
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.parasitics.spef import read_spef
from fewflips.schedule.file import read_schedule
from fewflips.training.checkpoints import load_checkpoint
from fewflips.training.config import DatasetOptions, load_config
from fewflips.training.datasets import load_dataset
from fewflips.training.networks import build_network
from fewflips.training.quantization.initial_weights import load_onnx_weights
from fewflips.training.quantization.quantize import quantize
from fewflips.training.result import read_result
from fewflips.training.resuming import float_weights
from tests.gates.mapped_circuits import LIBRARY
from tests.network.build_tflite import DENSE, single

SPEC = InputSpec("x", (1, 4, 4, 3), np.dtype(np.uint8))


NO_MATTER = {("result.json", "name"), ("result.json", "long")}
"""The folder of a run is read, not the file."""


@contextmanager
def within_seconds(seconds: int) -> Iterator[None]:
    """What waits longer is ended."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def model(folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(single(DENSE, (1, 16), (1, 4), (4, 16), per_channel=False))
    return path


def cifar10(path: Path) -> object:
    return load_dataset(DatasetOptions.model_construct(name="cifar10", path=path))  # with names that it would refuse


READERS: dict[str, Callable[[Path], object]] = {
    "model.tflite": measure,
    "model.onnx": measure,
    "model.gguf": measure,
    "model.safetensors": measure,
    "config.json": lambda path: measure(path.parent),
    "second.onnx": lambda path: verify(model(path.parent), path),
    "schedule.json": lambda path: verify(model(path.parent), path),
    "other.json": read_schedule,
    "npu.yaml": lambda path: measure(model(path.parent), path),
    "calibration.json": lambda path: measure(model(path.parent), calibration=path),
    "any.json": read_calibration,
    "samples.npz": lambda path: load_samples(path, (SPEC,)),
    "samples": lambda path: load_samples(path, (SPEC,)),
    "cells.lib": load_cells,
    "cells.json": load_cells,
    "netlist.v": lambda path: read_netlist(path, LIBRARY),
    "wires.spef": read_spef,
    "train.yaml": load_config,
    "checkpoint.pt": load_checkpoint,
    "float.pt": float_weights,
    "start.onnx": lambda path: load_onnx_weights(quantize(build_network("resnet", depth=8, width=0.25)), path),
    "result.json": lambda path: read_result(path.parent),
    "cifar10.npz": cifar10,
    "data_batch_1": lambda path: cifar10(path.parent),
}


@pytest.mark.parametrize("kind", ["fifo", "zero", "full", "null", "name", "long"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "name":  # that no file can have
        path = tmp_path / f"a\0{name}"
    elif kind == "long":
        path = tmp_path / ("n" * 5000 + name)
    else:
        path.symlink_to(f"/dev/{kind}")
    with within_seconds(60):
        if (name, kind) in NO_MATTER:
            READERS[name](path)
            return
        with pytest.raises(FewflipsError) as caught:
            READERS[name](path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inside", ["a.png", "data_batch_1.bin", "train-images-idx3-ubyte", "train/a/x.png"])
def test_folders_that_hold_fifos(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / inside)
    with within_seconds(60):
        with pytest.raises(FewflipsError):
            load_samples(tmp_path, (SPEC,))
        for name in ("cifar10", "fashion-mnist", "folder"):
            with pytest.raises(FewflipsError):
                load_dataset(DatasetOptions.model_validate({"name": name, "path": tmp_path}))


def test_the_message_says_what_was_got(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.tflite")
    with within_seconds(60), pytest.raises(FewflipsError) as caught:
        measure(tmp_path / "model.tflite")
    assert str(caught.value) == (
        f"{tmp_path}/model.tflite: cannot be read: expected a plain file, got a FIFO, a socket or a device"
    )


def test_a_read_takes_no_more_memory_than_the_file_has_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    try:
        with open_plain(tmp_path / "file") as file:
            assert file.read(7) == content[:7]
            assert file.read(1 << 32) == content[7:]
            assert file.read(1 << 32) == b""
            file.seek(len(content) - 3)
            assert file.read(1 << 32) == content[-3:]
            file.seek(1 << 33)
            assert file.read(1 << 32) == b""
            file.seek(0)
            assert file.read() == content
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_plain_files_and_links_to_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "file") == read_plain(str(tmp_path / "link")) == b"content"
    with open_plain(tmp_path / "file") as file:
        assert (file.read(3), file.seek(0)) == (b"con", 0)


@pytest.mark.parametrize("name", ["none", "folder", "a\0b", "n" * 5000])
def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        open_plain(tmp_path / name)
    assert caught.value.strerror


def bomb(head: bytes = b"") -> bytes:
    """A gzip file of 256 KiB that unpacks to 256 MiB."""
    return gzip.compress(head) + gzip.compress(bytes(16 << 20)) * 16


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("netlist.v.gz", b"module m(); endmodule\n"),
        ("cells.lib.gz", b"library (l) {\n"),
        ("wires.spef.gz", b'*SPEF "IEEE 1481"\n'),
        ("train-images-idx3-ubyte.gz", bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 8, 8)),
    ],
)
def test_small_files_that_unpack_to_a_great_many_bytes(tmp_path: Path, name: str, head: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(bomb(head))
    read = {
        "netlist.v.gz": READERS["netlist.v"],
        "cells.lib.gz": load_cells,
        "wires.spef.gz": read_spef,
        "train-images-idx3-ubyte.gz": lambda path: load_dataset(DatasetOptions(name="fashion-mnist", path=path.parent)),
    }[name]
    tracemalloc.start()
    try:
        with pytest.raises(FewflipsError, match=r"got more|binary data|lines of at most"):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 80 << 20


def test_real_libraries_unpack() -> None:
    """The text of cells has a tenth of its size when it is packed, not a sixtieth."""
    text = liberty_text(LIBRARY).encode()
    assert most_unpacked(len(gzip.compress(text)), 1 << 30) > 3 * len(text)
    assert most_unpacked(1 << 30, 1 << 30) == 1 << 30
