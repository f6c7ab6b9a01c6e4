"""What `train` reads beside datasets: configurations, checkpoints, networks to start from, results."""

from __future__ import annotations

import io
import os
import random
import warnings
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tests.training.trained_networks import images, quantized_network
from torch import Tensor

from fewflips.api.pareto import _known_point as known_point
from fewflips.training.checks import check_run, load_onnx_network
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.datasets import Dataset, Split
from fewflips.training.export.onnx_export import to_onnx
from fewflips.training.networks import build_network
from fewflips.training.pareto_points import Pair, ParetoPoint
from fewflips.training.quantization.quantize import quantize
from fewflips.training.trainer import train

from ..kinds import MutatedFiles
from ..mutation import raw
from ..mutation.archives import packed
from ..mutation.pickles import Pickles
from ..mutation.tokens import Tokens
from ..mutation.values import integer
from .command import one_of
from .models import ONNX, change_onnx
from .records import YAML_WORDS, json_changes

_TOML = b"""seed = 3
output = "out"

[network]
name = "resnet"
depth = 8
width = 0.5

[dataset]
name = "fashion-mnist"
path = "data"

[augmentation]
padding = 2

[float_stage]
epochs = 3
batch = 8

[quantized_stage]
epochs = 2
batch = 8
learning_rate = 1e-3
weight_bits = { "*first*" = 4, classifier = 8 }
distillation = { teacher = "quantized", temperature = 4.0 }

[hamming]
strength = 0.3
accelerator = "edge4"
"""
_YAML = b"""network: {name: resnet, depth: 8, width: 0.5}
dataset:
  name: fashion-mnist
  path: data
float_stage: {epochs: 3, batch: 8}
quantized_stage:
  epochs: 2
  batch: 8
  learning_rate: 0.001
  weight_bits: {'*first*': 4, classifier: 8}
hamming:
  accelerator: edge4
  strength: 0.3
threads: 1
device: cpu
checkpoint_every: 2
tensorboard: false
output: out
"""
_YAML_WORDS = (
    *("initial: {checkpoint: nowhere}\n", "initial: {onnx: nowhere.onnx}\n", "initial: {checkpoint: a, onnx: b}\n"),
    *("activation_headroom: 2\n", "pruning: 0.5\n", "distillation: {teacher: nowhere.onnx}\n", "{teacher: float}\n"),
    *("quantized_stage: null\n", "float_stage: null\n", "precision: bfloat16\n", "device: cuda\n", "mobilenet_v2"),
    *(
        "method: assignment\n",
        "per_channel",
        "weight_bits: {}\n",
        "weight_bits: {'[': 4}\n",
        "image_size: 8\n",
        "folder",
    ),
)
_TOML_WORDS = (
    *("[initial]\ncheckpoint = 'nowhere'\n", "[initial]\nonnx = 'nowhere.onnx'\n", "pruning = 0.5\n", "[[network]]\n"),
    *(
        "network.name = 'resnet'\n",
        '"""',
        "inf",
        "nan",
        "0b1",
        "1_000",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "x.y.z = 1\n",
    ),
)


def dataset() -> Dataset:
    """A few images of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (12, 8, 8, 1), generator=generator, dtype=torch.uint8)
    labels = torch.arange(12) % 2
    return Dataset("tiny", Split(pixels[:8], labels[:8]), Split(pixels[8:], labels[8:]), ("even", "odd"))


def configuration(folder: Path) -> MutatedFiles:
    """Configurations; a few of those that ask for the same network are checked as at the start of a run."""
    torch.set_num_threads(1)
    own = dataset()
    texts = {
        "train.yaml": Tokens([_YAML], (*YAML_WORDS, *_YAML_WORDS)),
        "train.toml": Tokens([_TOML], ("[[x]]", "1979-05-27", "'''", *_TOML_WORDS)),
    }
    network = load_config(_written(folder / "train.yaml", _YAML)).network

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return texts[name].change(chance, content)

    def entry(inputs: Path) -> None:
        path = next(path for path in inputs.iterdir())
        config = load_config(path)
        if config.network == network and one_of(16, path):
            check_run(config, own)

    return MutatedFiles([{"train.yaml": _YAML}, {"train.toml": _TOML}], change, entry)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def result(folder: Path) -> MutatedFiles:
    """The result of a finished run: `train --resume` shows it again."""
    config = small_config(folder / "run")
    train(config, dataset=dataset())
    target = json_changes([(folder / "run" / "result.json").read_bytes()])

    def entry(inputs: Path) -> None:
        os.replace(inputs / "record.json", inputs / "result.json")
        train(config, output=inputs, resume=True)

    target.entry = entry
    return target


def pareto_point(folder: Path) -> MutatedFiles:
    """What `train --pareto --resume` knows of a strength's model; damaged, it is measured again."""
    point = ParetoPoint(
        strength=0.3,
        model_sha256="0" * 64,
        accelerator="edge4",
        accuracy_percent=50.0,
        flips=Pair(natural=10.0, ordered=5.0),
        estimated=None,
        simulated=None,
    )
    target = json_changes([point.model_dump_json(indent=1).encode()])
    config = small_config(folder / "run")
    known = train(config, dataset=dataset()).model_copy(update={"model_sha256": "0" * 64})

    def entry(inputs: Path) -> None:
        os.replace(inputs / "record.json", inputs / "point.json")
        known_point(inputs, known, "edge4", False)

    target.entry = entry
    return target


def small_config(output: Path, **changes: Any) -> TrainingConfig:
    """A configuration whose run takes a few seconds at most."""
    content = {
        "network": {"name": "resnet", "depth": 8, "width": 0.25},
        "dataset": {"name": "fashion-mnist", "path": "data"},
        "augmentation": {"padding": 0, "flip": False},
        "float_stage": {"epochs": 1, "batch": 4},
        "quantized_stage": None,
        "threads": 1,
        "device": "cpu",
        "precision": "float32",
        "tensorboard": False,
        "checkpoint_every": 1,
        "output": str(output),
    }
    return TrainingConfig.model_validate(content | changes)


class Checkpoints:
    """Changes of PyTorch files: of what they hold, of their pickle, of their bytes."""

    def __init__(self, seeds: list[bytes]) -> None:
        self._content = {seed: torch.load(io.BytesIO(seed), weights_only=True) for seed in seeds}
        self._members = {seed: _members(seed) for seed in seeds}
        self._pickles = Pickles([content for members in self._members.values() for content in _data(members)])

    def change(self, chance: random.Random, content: bytes) -> bytes:
        way = chance.random()
        if way < 0.15:
            return raw.change(chance, content)
        if way < 0.35:
            members = [
                (name, self._pickles.change(chance, data) if name.endswith("data.pkl") else data)
                for name, data in self._members[content]
            ]
            return packed(members)
        holder = _copied(self._content[content])
        for _ in range(1 + int(chance.expovariate(1.0))):
            _change_content(chance, holder)
        written = io.BytesIO()
        torch.save(holder, written)
        return written.getvalue()


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _data(members: list[tuple[str, bytes]]) -> list[bytes]:
    return [content for name, content in members if name.endswith("data.pkl")]


def _copied(value: Any) -> Any:
    """Containers anew; tensors are replaced, not changed."""
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return [_copied(entry) for entry in value] if isinstance(value, list) else value


def _change_content(chance: random.Random, holder: Any) -> None:
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.85:
            holder = inner
            continue
        way = chance.random()
        if way < 0.15:
            del holder[key]
        elif way < 0.3:
            other = chance.choice(keys)
            holder[key], holder[other] = holder[other], holder[key]
        elif way < 0.35 and isinstance(holder, dict):
            holder[chance.choice((0, "", "x" * 300, "\x1b[31m", (1, 2), None, 2.5))] = inner
        else:
            holder[key] = _other_value(chance, inner)
        return


def _other_value(chance: random.Random, before: Any) -> Any:
    way = chance.random()
    if isinstance(before, Tensor) and way < 0.8:
        return _other_tensor(chance, before)
    if isinstance(before, int) and way < 0.6:
        return integer(chance, int(before))
    plain = (
        None,
        True,
        -1,
        0,
        2**40,
        10**30,
        float("nan"),
        float("inf"),
        -1.0,
        "",
        "text",
        "\x1b[31m",
        [],
        {},
        (),
        b"x",
    )
    tensors = (torch.zeros(2), torch.tensor(1.5), torch.zeros(0))
    return chance.choice((*plain, *tensors, [before], {"a": before}, "long " * 1000))


def _other_tensor(chance: random.Random, before: Tensor) -> Tensor:
    """A tensor that differs in shape, type, values or layout."""
    plain = before.detach().clone(memory_format=torch.contiguous_format)
    types = (torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool)
    ways: tuple[Any, ...] = (
        lambda: plain.unsqueeze(0),
        lambda: plain.reshape(-1),
        lambda: plain.flatten()[: max(0, plain.numel() - 1)],
        lambda: plain.transpose(0, -1) if plain.ndim > 1 else plain.reshape(1, -1),
        lambda: torch.cat([plain.flatten(), plain.flatten()]),
        lambda: plain.to(chance.choice((*types, torch.complex64, torch.bfloat16))),
        lambda: torch.full_like(plain, float("nan")) if plain.is_floating_point() else plain - 1000,
        lambda: plain * (float("inf") if plain.is_floating_point() else 2**31),
        lambda: plain * -1 if plain.dtype != torch.bool else ~plain,
        lambda: torch.zeros_like(plain),
        lambda: _with_one(chance, plain),
        lambda: plain.flip(0) if plain.ndim else plain,
        lambda: torch.zeros((0, *plain.shape), dtype=plain.dtype),
        lambda: plain.to_sparse() if plain.ndim else plain,
        lambda: plain.float().requires_grad_(True),
        lambda: plain[:1].expand(plain.shape) if plain.ndim else plain,
        lambda: torch.empty(plain.shape, dtype=plain.dtype, device="meta"),
        lambda: torch.quantize_per_tensor(plain.float(), 0.1, 0, torch.qint8),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on ways that PyTorch will do without
        found: Tensor = chance.choice(ways)()
    return found


def _with_one(chance: random.Random, plain: Tensor) -> Tensor:
    """One value among the others is another."""
    if plain.numel():
        odd = (float("nan"), float("inf"), -1e30, 1e-40, -1.0)
        whole = (-1, 2**31, 2**62, 0, 1)
        value = chance.choice(odd if plain.is_floating_point() else whole)
        limit = torch.iinfo(plain.dtype).max if plain.dtype in (torch.int32, torch.int64, torch.uint8) else None
        plain.view(-1)[chance.randrange(plain.numel())] = (
            value if limit is None else min(int(value), limit) % (limit + 1)
        )
    return plain


class _Stopped(Exception):
    """Ends a run as Ctrl-C does."""


def _stopped(config: TrainingConfig, output: Path, own: Dataset, stage: str, steps: int) -> bytes:
    """The checkpoint of a run that is stopped after a number of steps of a stage, or at its end."""

    def stop(phase: str, done: int, total: int) -> None:
        if phase == stage and done > steps:
            raise _Stopped

    with suppress(_Stopped):
        train(config, output=output, dataset=own, progress=stop)
    return (output / "checkpoint.pt").read_bytes()


def checkpoint(folder: Path) -> MutatedFiles:
    """`train --resume` in the middle of the float stage, and at its end."""
    torch.set_num_threads(1)
    own, config = dataset(), small_config(folder / "run")
    seeds = [_stopped(config, folder / f"run{steps}", own, "float stage", steps) for steps in (1, 2)]
    changes = Checkpoints(seeds)

    def entry(inputs: Path) -> None:
        train(config, output=inputs, resume=True, dataset=own)

    return MutatedFiles(
        [{"checkpoint.pt": seed} for seed in seeds],
        lambda chance, name, content: changes.change(chance, content),
        entry,
    )


def quantized_checkpoint(folder: Path) -> MutatedFiles:
    """`train --resume` of the quantized stage with a teacher and the HD term: its end, where the model is exported."""
    torch.set_num_threads(1)
    own = dataset()
    stage = {"epochs": 1, "batch": 4, "distillation": {"teacher": "quantized"}}
    terms = {"accelerator": "edge4", "strength": 0.3}
    config = small_config(folder / "run", quantized_stage=stage, hamming=terms)
    seeds = [_stopped(config, folder / f"run{steps}", own, "quantized stage", steps) for steps in (1, 2)]
    changes = Checkpoints(seeds)

    def entry(inputs: Path) -> None:
        train(config, output=inputs, resume=True, dataset=own)

    return MutatedFiles(
        [{"checkpoint.pt": seed} for seed in seeds],
        lambda chance, name, content: changes.change(chance, content),
        entry,
    )


def start(folder: Path) -> MutatedFiles:
    """`initial.checkpoint`: the float network of another run."""
    from fewflips.training.checkpoints import load_weights
    from fewflips.training.resuming import float_weights

    torch.set_num_threads(1)
    train(small_config(folder / "run"), dataset=dataset())
    seed = (folder / "run" / "float.pt").read_bytes()
    changes = Checkpoints([seed])
    network = build_network("resnet", width=0.25, classes=2, image_size=8, channels=1, depth=8)

    def entry(inputs: Path) -> None:
        load_weights(inputs / "float.pt", network, float_weights(inputs / "float.pt"))

    return MutatedFiles([{"float.pt": seed}], lambda chance, name, content: changes.change(chance, content), entry)


def onnx_start(folder: Path) -> MutatedFiles:
    """`initial.onnx` and ONNX teachers."""
    torch.set_num_threads(1)
    batch = images(4, channels=1, size=8)
    options = {"width": 0.25, "classes": 2, "depth": 8}
    seed = to_onnx(quantized_network("resnet", batch, **options)).SerializeToString()
    network = quantize(build_network("resnet", image_size=8, channels=1, **options))  # type: ignore[arg-type]

    def entry(inputs: Path) -> None:
        load_onnx_network(network, inputs / ONNX, "initial.onnx")

    return MutatedFiles([{ONNX: seed}], partial(change_onnx, (seed,)), entry)
