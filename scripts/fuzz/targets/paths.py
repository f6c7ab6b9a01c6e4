"""Paths that lead to no plain file: FIFOs, devices, folders, links, and names that no one would give."""

from __future__ import annotations

import gzip
import os
import pickle
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np
from pydantic import ValidationError

from fewflips.api.optimized import COMMAND, check_writable
from fewflips.errors import InputError
from fewflips.estimation.calibration_files import read_calibration
from fewflips.execution.samples import load_samples
from fewflips.files.result_folder import MANIFEST, save_together
from fewflips.files.validation import describe_validation_error
from fewflips.gates.liberty.cell_table import write_cell_table
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.liberty.writer import liberty_text
from fewflips.gates.netlist.reader import read_netlist
from fewflips.gates.netlist.verilog import netlist_verilog
from fewflips.gates.netlist.yosys import Yosys
from fewflips.gates.parasitics.spef import read_spef
from fewflips.gates.parasitics.spef_writer import spef_text
from fewflips.report.calibration_files import check_folder
from fewflips.simulation.activity import make_activity_folder
from fewflips.training.checkpoints import load_checkpoint
from fewflips.training.checks import load_onnx_network
from fewflips.training.config import DatasetOptions, load_config
from fewflips.training.datasets import load_dataset
from fewflips.training.networks import build_network
from fewflips.training.quantization.quantize import quantize
from fewflips.training.resuming import float_weights
from fewflips.training.trainer import train

from ..kinds import Files
from ..mutation.values import STRINGS
from ..permissions import permissions_count
from .command import fewflips, measure
from .gates import LIBRARY, NETLIST
from .models import onnx_seeds, tflite_seeds
from .records import model_in
from .samples import IMAGES, image_bytes, npz_bytes
from .training import dataset, small_config

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/stdin", "/dev/tty", "/proc/self/mem", "/proc")
_KINDS = (
    *("fifo", "folder", "missing", "empty", "dangling", "loop", "socket", "device", "text", "other", "other"),
    *("unreadable", "closed", "through-file"),
)
"""What lies at the path: no permission to read it (`unreadable`) or to enter its folder (`closed`), a file in place of
its folder, or a good file of `other` commands."""
_WRITTEN = ("output", "table", "calibration-output", "activity", "cache")
"""Arguments that are written to: never to devices, which root could replace."""
_INSIDE = {
    "samples": ("a.png", "b.jpg"),
    "fashion-mnist": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
    "cifar10": ("data_batch_1", "data_batch_1.bin", "cifar-10-batches-py"),
    "folder": ("train", "test", "train/cat/a.png"),
    "run": ("checkpoint.pt", "result.json", "config.yaml", "metrics.jsonl"),
    "start": ("float.pt",),
    "output": ("model.tflite", "schedule.json", MANIFEST, "report.html"),
    "calibration-output": ("calibration.json", MANIFEST, ".fewflips-probe"),
    "activity": ("unit.v",),
    "cache": ("cells", "synthesis"),
    "model": (MANIFEST,),
    "second": (MANIFEST,),
    "calibration": (MANIFEST,),
}
"""Where in a folder the odd entry lies, for those that read folders; a manifest lies beside a file."""


class Paths:
    """A command's argument, and what lies there."""

    def __init__(self, folder: Path) -> None:
        self._model = model_in(folder)
        self._entries = _reading(self._model) | _writing(self._model)
        self._roles, self._contents = list(self._entries), _contents()

    def valid(self) -> list[Files]:
        return [{"argument": b"model\nmodel\n\n\nmodel.tflite"}, {"argument": b"run\nmissing\n\n\nrun"}]

    def make(self, chance: random.Random) -> Files:
        role = chance.choice(self._roles)
        suffix = chance.choice(self._entries[role][1])
        odd = chance.choice(STRINGS) if chance.random() < 0.3 else "input"
        name = (odd + suffix).replace("/", "_").encode("utf-8", "surrogateescape")
        if chance.random() < 0.1:
            name = b"\xff\xfe" + name
        what = chance.choice([kind for kind in _KINDS if kind != "device" or role not in _WRITTEN])
        device = str(chance.randrange(len(self._contents))) if what == "other" else chance.choice(_DEVICES)
        inside = chance.choice(("", *_INSIDE.get(role, ())))
        return {"argument": b"\n".join([role.encode(), what.encode(), device.encode(), inside.encode(), name])}

    def run(self, folder: Path) -> None:
        role, what, detail, inside, name = (folder / "argument").read_bytes().split(b"\n", 4)
        given = folder / "given" / os.fsdecode(name)
        path = (given.parent if inside == MANIFEST.encode() else given) / inside.decode() if inside else given
        with suppress(OSError, ValueError):  # some names cannot be made; they are asked for all the same
            path.parent.mkdir(parents=True)
            if what == b"model" or inside == MANIFEST.encode():
                given.write_bytes(self._model.read_bytes())
            content = self._contents[int(detail)] if what == b"other" else b"text\n"
            _make(path, what.decode(), detail.decode(), content)
        try:
            with permissions_count():
                self._entries[role.decode()][0](given)
        finally:
            with suppress(OSError, ValueError):
                os.chmod(path.parent, 0o700)


def _make(path: Path, what: str, device: str, content: bytes) -> None:
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "dangling":
        path.symlink_to("nowhere")
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "device":
        path.symlink_to(device)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif what == "through-file":
        path.parent.rmdir()
        path.parent.write_bytes(content)
    elif what not in ("missing", "model"):
        path.write_bytes(content)
        _forbid(path, what)


def _forbid(path: Path, what: str) -> None:
    """Take permissions away."""
    if what in ("unreadable", "closed"):
        os.chmod(path if what == "unreadable" else path.parent, 0)


def _contents() -> list[bytes]:
    """A good file of each format, to be given where another is expected."""
    files = [
        *tflite_seeds()[:1],
        onnx_seeds()[0].SerializeToString(),
        liberty_text(LIBRARY).encode(),
        netlist_verilog(NETLIST, LIBRARY).encode(),
        spef_text(NETLIST, LIBRARY, {2: 1.0}, "fuzz").encode(),
        image_bytes("PNG"),
        image_bytes("JPEG"),
        npz_bytes(x=np.zeros(3)),
        pickle.dumps({b"data": [1], b"labels": [1]}),
        b'{"format": "fewflips-manifest", "version": 1, "results": {}}',
        b'{"format": "fewflips-schedule", "version": 1}',
        b"network: {name: resnet}\ndataset: {name: cifar10, path: data}\n",
        b"name: npu\nlanes: 4\n",
        bytes(32),
        b"#!/bin/sh\n",
        b"%PDF-1.7\n",
        b"\x7fELF\x02\x01\x01",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
    ]
    return [*files, *(gzip.compress(content, mtime=0) for content in files[2:5])]


Entry = Callable[[Path], object]
Options = TypeVar("Options")


def _reading(model: Path) -> dict[str, tuple[Entry, tuple[str, ...]]]:
    """What reads a path, and endings of names that it takes."""
    own = dataset()
    network = quantize(build_network("resnet", width=0.25, classes=2, image_size=8, channels=1, depth=8))
    no_yosys = Yosys("none", "Yosys 0.70", ("false",))
    found: dict[str, tuple[Entry, tuple[str, ...]]] = {
        "model": (measure, (".tflite", ".onnx", "")),
        "second": (lambda path: fewflips("verify", model, path), (".tflite", ".onnx", ".json")),
        "accelerator": (lambda path: measure(model, "--accelerator", path), (".yaml", "")),
        "calibration": (read_calibration, (".json", "")),
        "samples": (lambda path: load_samples(path, IMAGES[:1]), (".npz", "", ".txt")),
        "cells": (load_cells, (".lib", ".lib.gz", ".json", "")),
        "netlist": (lambda path: read_netlist(path, LIBRARY, yosys=no_yosys), (".v", ".v.gz", "")),
        "spef": (read_spef, (".spef", ".spef.gz", "")),
        "configuration": (load_config, (".yaml", ".toml", "")),
        "checkpoint": (load_checkpoint, (".pt", "")),
        "start": (float_weights, (".pt", "")),
        "onnx-start": (lambda path: load_onnx_network(network, path, "initial.onnx"), (".onnx", "")),
        "run": (lambda path: train(_config(small_config, path), resume=True, dataset=own), ("",)),
    }
    for name in ("cifar10", "fashion-mnist", "folder"):
        found[name] = (_loading(name), ("", ".npz"))
    return found


def _writing(model: Path) -> dict[str, tuple[Entry, tuple[str, ...]]]:
    """What writes to a path."""

    def optimized(path: Path) -> None:
        check_writable(path, model)
        save_together(path, COMMAND, {"schedule.json": b"{}\n", "report.html": b"<p>\n"})

    def calibrated(path: Path) -> None:
        check_folder(path)
        save_together(path, "fewflips calibrate", {"calibration.json": b"{}\n"})

    def cached(path: Path) -> None:
        with patch.dict(os.environ, FEWFLIPS_CACHE=str(path).replace("\0", "")):
            load_cells(cells)

    cells = model.parent / "cells.lib"
    cells.write_bytes(liberty_text(LIBRARY).encode())
    return {
        "output": (optimized, ("", ".json")),
        "table": (lambda path: write_cell_table(LIBRARY, path), (".json", "")),
        "calibration-output": (calibrated, ("",)),
        "activity": (make_activity_folder, ("",)),
        "cache": (cached, ("",)),
    }


def _loading(name: str) -> Entry:
    def options(path: Path) -> DatasetOptions:
        return DatasetOptions.model_validate({"name": name, "path": path, "image_size": 8})

    return lambda path: load_dataset(_config(options, path))


def _config(make: Callable[[Path], Options], path: Path) -> Options:
    """A configuration that names the path; it refuses paths that cannot be written down."""
    try:
        return make(path)
    except ValidationError as error:
        raise InputError(describe_validation_error(error)) from error


def paths(folder: Path) -> Paths:
    return Paths(folder)
