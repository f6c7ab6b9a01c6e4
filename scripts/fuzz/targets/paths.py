"""Paths that lead to no plain file: FIFOs, devices, folders, links, and names that no one would give."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from fewflips.accelerator.machine import describe_validation_error
from fewflips.calibration.files import read_calibration
from fewflips.errors import InputError
from fewflips.gates.cell_table import load_cells
from fewflips.gates.netlist_reader import read_netlist
from fewflips.gates.spef import read_spef
from fewflips.gates.yosys import Yosys
from fewflips.network.samples import load_samples
from fewflips.training.checkpoints import load_checkpoint
from fewflips.training.checks import load_onnx_network
from fewflips.training.config import DatasetOptions, load_config
from fewflips.training.datasets import load_dataset
from fewflips.training.networks import build_network
from fewflips.training.quantize import quantize
from fewflips.training.resuming import float_weights
from fewflips.training.trainer import train

from ..kinds import Files
from ..mutation.values import STRINGS
from .command import fewflips, measure
from .gates import LIBRARY
from .records import model_in
from .samples import IMAGES
from .training import dataset, small_config

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/stdin", "/dev/tty", "/proc/self/mem", "/proc")
_KINDS = ("fifo", "folder", "missing", "empty", "dangling", "loop", "socket", "device", "text")
_INSIDE = {
    "samples": ("a.png", "b.jpg"),
    "fashion-mnist": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
    "cifar10": ("data_batch_1", "data_batch_1.bin", "cifar-10-batches-py"),
    "folder": ("train", "test", "train/cat/a.png"),
    "run": ("checkpoint.pt", "result.json", "config.yaml", "metrics.jsonl"),
    "start": ("float.pt",),
}
"""Where in a folder the odd entry lies, for those that read folders."""


class Paths:
    """A command's argument, and what lies there."""

    def __init__(self, folder: Path) -> None:
        self._model = model_in(folder)
        self._entries = _entries(self._model)
        self._roles = list(self._entries)

    def valid(self) -> list[Files]:
        return [{"argument": b"model\nmodel\n\n\nmodel.tflite"}]

    def make(self, chance: random.Random) -> Files:
        role = chance.choice(self._roles)
        suffix = chance.choice(self._entries[role][1])
        odd = chance.choice(STRINGS) if chance.random() < 0.3 else "input"
        name = (odd + suffix).replace("/", "_").encode("utf-8", "surrogateescape")
        if chance.random() < 0.1:
            name = b"\xff\xfe" + name
        what = chance.choice(_KINDS)
        device = chance.choice(_DEVICES)
        inside = chance.choice(("", *_INSIDE.get(role, ())))
        return {"argument": b"\n".join([role.encode(), what.encode(), device.encode(), inside.encode(), name])}

    def run(self, folder: Path) -> None:
        role, what, device, inside, name = (folder / "argument").read_bytes().split(b"\n", 4)
        given = folder / "given" / os.fsdecode(name)
        path = given / inside.decode() if inside else given
        with suppress(OSError, ValueError):  # some names cannot be made; they are asked for all the same
            path.parent.mkdir(parents=True)
            if what == b"model":
                path.write_bytes(self._model.read_bytes())
            _make(path, what.decode(), device.decode())
        self._entries[role.decode()][0](given)


def _make(path: Path, what: str, device: str) -> None:
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
    elif what == "text":
        path.write_text("text\n")
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))


Entry = Callable[[Path], object]
Options = TypeVar("Options")


def _entries(model: Path) -> dict[str, tuple[Entry, tuple[str, ...]]]:
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
