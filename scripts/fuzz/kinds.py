"""What is fuzzed: kinds of input, each with valid files, a way to mutate them and the entry that reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

Files = dict[str, bytes]
"""An input: content of each file by its name in the input's folder."""

Change = Callable[[random.Random, str, bytes], bytes]
"""Mutates the content of the file of a name."""


class Target(Protocol):
    """A kind of input, prepared in a worker process."""

    def valid(self) -> list[Files]:
        """Inputs that are accepted."""
        ...

    def make(self, chance: random.Random) -> Files:
        """Make an input, which depends on `chance` alone."""
        ...

    def run(self, folder: Path) -> None:
        """Read the input as a command does; errors of fewflips' own are raised as they are."""
        ...


@dataclass
class MutatedFiles:
    """Valid inputs, of which one file or several are changed."""

    seeds: list[Files]
    change: Change
    entry: Callable[[Path], None]
    often: tuple[str, ...] = ()
    """Files that are changed in most inputs; by default all alike."""
    _names: list[list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._names = [[name for name in self.often if name in seed] or list(seed) for seed in self.seeds]

    def valid(self) -> list[Files]:
        return self.seeds

    def make(self, chance: random.Random) -> Files:
        place = chance.randrange(len(self.seeds))
        files = dict(self.seeds[place])
        names = self._names[place] if chance.random() < 0.9 else list(files)
        for name in chance.sample(names, 1 if chance.random() < 0.9 else min(2, len(names))):
            files[name] = self.change(chance, name, files[name])
        return files

    def run(self, folder: Path) -> None:
        self.entry(folder)


@dataclass(frozen=True)
class Kind:
    """A row of the table."""

    name: str
    what: str
    """The input and the command that reads it."""
    share: float
    """Share of all inputs, relative to the other kinds."""
    target: str
    """``module:function`` that prepares it; it takes an empty folder for files."""
    seconds: float = 20.0
    """Seconds after which an input counts as hanging."""
    programs: bool = False
    """Whether other programs are started. They inherit limits, and WebAssembly sets aside more than is asked of it."""

    def prepare(self, folder: Path) -> Target:
        module, _, function = self.target.partition(":")
        prepared: Target = getattr(import_module(module), function)(folder)
        return prepared


def _kind(name: str, what: str, share: float, target: str, programs: bool = False) -> Kind:
    return Kind(name, what, share, f"scripts.fuzz.targets.{target}", 60.0 if programs else 20.0, programs)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind("tflite", "TFLite model: `measure MODEL`", 13, "models:tflite"),
        _kind("onnx", "ONNX model: `measure MODEL`", 10, "models:onnx_"),
        _kind("onnx-external", "ONNX model and its external data: `measure MODEL`", 3, "models:onnx_external"),
        _kind("gguf", "GGUF model: `measure MODEL`", 7, "language_models:gguf"),
        _kind("safetensors", "folder of safetensors: `measure DIR`", 6, "language_models:safetensors"),
        _kind("optimize", "model: `optimize MODEL`, runtimes included", 0.03, "models:optimized", programs=True),
        _kind("accelerator", "accelerator (YAML): `measure --accelerator FILE`", 7, "records:accelerator"),
        _kind("calibration", "calibration (JSON): `measure --calibration FILE`", 2, "records:calibration"),
        _kind("schedule", "schedule (JSON): `verify MODEL SCHEDULE`", 4, "records:schedule"),
        _kind("manifest", "folder of results and its manifest: `verify`, `optimize`", 3, "results:manifest"),
        _kind("pair", "two models: `verify A B`, what they hold", 6, "pairs:pairs"),
        _kind("verify", "two models: `verify A B`, runtimes included", 0.03, "pairs:verified", programs=True),
        _kind("samples", "sample inputs (.npz): `measure --inputs FILE`", 8, "samples:arrays"),
        _kind("sample-images", "sample images: `measure --inputs DIR`", 8, "samples:images"),
        _kind("liberty", "Liberty (.lib, .lib.gz): `energy --cells FILE`", 5, "gates:liberty"),
        _kind("cell-table", "cell table (JSON): `energy --cells FILE`", 4, "gates:cell_table"),
        _kind("cached-cells", "entry of the cache: `energy --cells FILE`", 0.5, "gates:cached_cells"),
        _kind("netlist-json", "netlist (JSON of Yosys)", 7, "gates:netlist_json"),
        _kind(
            "verilog", "netlist (Verilog, read by Yosys): `energy --netlist FILE`", 0.05, "gates:verilog", programs=True
        ),
        _kind("unit", "netlist of a unit, as Yosys hands it on: `energy --netlist FILE --spef FILE`", 1, "units:unit"),
        _kind("cached-netlist", "entry of the cache: `energy`", 0.5, "units:cached_netlist"),
        _kind("spef", "wires (SPEF): `energy --spef FILE`", 6, "gates:spef"),
        _kind("cifar10-npz", "CIFAR-10 (.npz): `train`", 4, "datasets:cifar10_archive"),
        _kind("cifar10-batches", "CIFAR-10 (pickles, binary): `train`", 9, "datasets:cifar10_batches"),
        _kind("fashion-mnist", "Fashion-MNIST (IDX, gzip): `train`", 8, "datasets:fashion_mnist"),
        _kind("image-folder", "folder of images: `train`", 5, "datasets:image_folder"),
        _kind("config", "configuration (YAML, TOML): `train --config FILE`", 8, "training:configuration"),
        _kind("result", "result.json of a run: `train --resume`", 3, "training:result"),
        _kind("pareto-point", "point.json of a run: `train --pareto --resume`", 2, "training:pareto_point"),
        _kind("checkpoint", "checkpoint.pt, float stage: `train --resume`", 0.5, "training:checkpoint"),
        _kind("checkpoint-quantized", "the same, quantized stage", 0.1, "training:quantized_checkpoint"),
        _kind("float-start", "float.pt: `train`, initial.checkpoint", 1, "training:start"),
        _kind("onnx-start", "ONNX network: `train`, initial.onnx", 2, "training:onnx_start"),
        _kind("arguments", "words of the command line: every command", 3, "arguments:quick"),
        _kind("commands", "the same, of commands that take seconds", 0.03, "arguments:slow", programs=True),
        _kind("paths", "FIFOs, devices, folders, links, odd names: every command", 2, "paths:paths"),
    )
}


def counts(kinds: list[str], inputs: int) -> dict[str, int]:
    """Number of inputs of each kind: its share of all, and at least one."""
    total = sum(KINDS[name].share for name in kinds)
    most = max(kinds, key=lambda name: KINDS[name].share)
    spare = max(0, inputs - len(kinds))
    found = {name: 1 + int(spare * KINDS[name].share / total) for name in kinds}
    found[most] += spare + len(kinds) - sum(found.values())
    return found
