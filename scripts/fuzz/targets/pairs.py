"""Two models that are compared: an original, and what is or only seems to be the original with its channels moved."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from tests.network import build_onnx, build_tflite
from tests.network.tampering import flip, moved

from fewflips.errors import ModelError
from fewflips.network import load
from fewflips.verification.structure import compare_structure

from ..kinds import Files
from ..mutation import flatbuffer
from .command import fewflips
from .models import change_onnx, tflite_seeds

_TAMPERED = "tampered"


class Pairs:
    """An original, and a second model: the first with its channels moved, changed in any way, or by one bit alone."""

    def __init__(self, folder: Path, models: list[tuple[str, bytes]]) -> None:
        self._folder, self._pairs = folder, [_pair(folder, suffix, content) for suffix, content in models]
        self._others = {
            suffix: tuple(content for files in self._pairs for name, content in files.items() if name.endswith(suffix))
            for suffix in (".tflite", ".onnx")
        }

    def valid(self) -> list[Files]:
        return self._pairs

    def make(self, chance: random.Random) -> Files:
        files = dict(chance.choice(self._pairs))
        suffix = Path(next(iter(files))).suffix
        way = chance.random()
        if way < 0.3:
            files[_TAMPERED + suffix] = self._tampered(chance, files.pop(f"second{suffix}"), suffix)
        elif way < 0.4:  # of another network, or of another format
            other = chance.choice(self._pairs)
            suffix = Path(next(iter(other))).suffix
            files = {name: content for name, content in files.items() if name.startswith("first")}
            files[f"second{suffix}"] = other[f"second{suffix}"]
        else:
            for name in chance.sample(list(files), 1 if chance.random() < 0.9 else 2):
                files[name] = self._changed(chance, name, files[name])
        return files

    def run(self, folder: Path) -> None:
        first, second = (
            next(path for path in folder.iterdir() if path.stem in stems)
            for stems in (("first",), ("second", _TAMPERED))
        )
        self.compare(first, second)

    def compare(self, first: Path, second: Path) -> None:
        """What `verify` does before it runs the models."""
        original, other = load(first), load(second)
        if original.file_format != other.file_format:
            return
        found = compare_structure(original, other)
        found.describe()
        check_told(second, found.equal)

    def _changed(self, chance: random.Random, name: str, content: bytes) -> bytes:
        if name.endswith(".onnx"):
            return change_onnx(self._others[".onnx"], chance, "model.onnx", content)
        return flatbuffer.change(chance, content, self._others[".tflite"])

    def _tampered(self, chance: random.Random, content: bytes, suffix: str) -> bytes:
        path = self._folder / f"{_TAMPERED}{suffix}"
        path.write_bytes(content)
        flip(path, np.random.default_rng(chance.getrandbits(63)))
        return path.read_bytes()


class VerifiedPairs(Pairs):
    """The same by the command, runtimes included."""

    def compare(self, first: Path, second: Path) -> None:
        fewflips("verify", first, second, "--json")  # ends here, with the exit code 1, where they differ
        check_told(second, equal=True)


def check_told(second: Path, equal: bool) -> None:
    """Fail if a second model that was tampered with passes as the first with its channels moved."""
    if equal and second.stem == _TAMPERED:
        raise AssertionError("a model of which one bit was flipped passes as the original with its channels moved")


def _pair(folder: Path, suffix: str, content: bytes) -> Files:
    first = folder / f"first{suffix}"
    first.write_bytes(content)
    try:
        second = moved(load(first), folder, seed=len(content))
    except ModelError:  # it has no channels that can move
        second = first
    return {f"first{suffix}": content, f"second{suffix}": second.read_bytes()}


def _models() -> list[tuple[str, bytes]]:
    flat = [*tflite_seeds()[:5], build_tflite.branching(), build_tflite.branching(weight_type="INT4")]
    made = [build_onnx.grouped(), build_onnx.qdq(), build_onnx.qlinear_chain(), build_onnx.int4()]
    return [(".tflite", content) for content in flat] + [(".onnx", model.SerializeToString()) for model in made]


def pairs(folder: Path) -> Pairs:
    return Pairs(folder, _models())


def verified(folder: Path) -> VerifiedPairs:
    return VerifiedPairs(folder, [model for i, model in enumerate(_models()) if i in (0, 2, 5, 7, 9)])
