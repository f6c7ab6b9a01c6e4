"""Words of the command line, read as the program reads them: one line and exit code 2 for those it refuses.

`demo` and `calibrate`, which take a minute where their words are good, share their options with the others.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from fewflips.api.optimize import optimize
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.gates.liberty.cell_table import write_cell_table
from fewflips.visible import LONGEST_LINE, visible

from ..kinds import Files
from ..mutation.values import FLOATS, INTEGERS, STRINGS
from .gates import LIBRARY
from .models import TFLITE, tflite_seeds

_SEPARATOR = b"\0"
_CELLS, _SCHEDULE, _MACHINE, _CONFIG = "cells.json", "schedule.json", "npu.yaml", "train.yaml"
_WRITES = ("--output", "--activity")
_QUICK = (
    f"measure {TFLITE} --accelerator edge4 --json",
    f"measure {TFLITE} --accelerator {_MACHINE}",
    f"verify {TFLITE} {_SCHEDULE} --seed 3 --json",
    "accelerators --json",
    f"cells list {_CELLS} --json",
    f"cells distill {_CELLS} --output table.json",
    f"train --config {_CONFIG} --output run --resume --seed 3 --threads 1 --device cpu --json",
    f"train --config {_CONFIG} --pareto 0,0.3 --energy",
    f"optimize {TFLITE} --output . --mode drop-in",
    "--version",
)
_SLOW = (
    f"optimize {TFLITE} --output out --accelerator edge4 --mode both --seed 3 --jobs 1 --json",
    f"optimize {TFLITE} --output out --accelerator {_MACHINE} --mode schedule --prove --jobs 1",
    f"optimize {TFLITE} --output out --steps drop-in,schedule --binary-schedule --explain --search-limit 9 --jobs 1",
    f"energy {TFLITE} --schedule {_SCHEDULE} --cells {_CELLS} --clock-mhz 200 --time-limit 1 --seed 3 --jobs 1 --json",
    f"energy {TFLITE} --accelerator {_MACHINE} --cells {_CELLS} --share 0.5 --step-ps 10 --time-limit 1 --jobs 1",
    f"energy {TFLITE} --accelerator {_MACHINE} --cells {_CELLS} --activity activity --time-limit 1 --jobs 1",
    f"rtl {TFLITE} --accelerator edge4 --layer y --cycles 64 --output rtl --seed 3",
    f"verify {TFLITE} {TFLITE} --seed 3",
)
_OPTIONS = (
    *("--json", "--help", "--prove", "--resume", "--energy", "--", "-", "--seed", "--jobs", "--inputs", "--mode"),
    *(
        "--step",
        "--steps",
        "--without",
        "--binary-schedule",
        "--explain",
        "--search-limit",
        "--error-budget",
        "--labels",
    ),
    *("--accelerator=edge8", "--seed=1", "--accelerator", "--cells", "--schedule", "--netlist", "--spef", "--layer"),
)
_NUMBERS = tuple(str(value) for value in (*INTEGERS, *FLOATS, "1_0", " 3", "3 ", "٣", "0x10", "1e400", "9" * 400))
_NAMES = ("edge4", "os16", "nangate45", TFLITE, _SCHEDULE, _CELLS, _MACHINE, _CONFIG, "schedule", "drop-in", "cpu", ".")
_LISTS = ("0,0,0", "0.3,", ",", "nan", "inf", "-1", "1e-320,0", "0.1;0.2", "1,2,3,4,5,6,7,8,9")


class Arguments:
    """Commands, some of whose words are left out, repeated, put elsewhere, or replaced."""

    def __init__(self, folder: Path, commands: tuple[str, ...]) -> None:
        self._commands = [[os.fsencode(word) for word in command.split()] for command in commands]
        self._files = _files(folder)

    def valid(self) -> list[Files]:
        return [self._with(self._commands[0]), self._with([b"--version"])]

    def make(self, chance: random.Random) -> Files:
        words = list(chance.choice(self._commands))
        for _ in range(1 + int(chance.expovariate(1.0))):
            _change(chance, words)
        return self._with(_harmless(words))

    def run(self, folder: Path) -> None:
        words = [os.fsdecode(word) for word in (folder / "words").read_bytes().split(_SEPARATOR)]
        said, before = io.StringIO(), Path.cwd()
        place = folder / "deep" / "down" / "here"  # so that names with `..` stay within the folder
        place.parent.mkdir(parents=True)
        os.replace(folder / "files", place)
        os.chdir(place)
        try:
            code = _exit_code(words, said)
        finally:
            os.chdir(before)
        _judge(code, said.getvalue(), "-h" in words or "--help" in words)

    def _with(self, words: list[bytes]) -> Files:
        return {"words": _SEPARATOR.join(words), **self._files}


def _change(chance: random.Random, words: list[bytes]) -> None:
    place, way = chance.randrange(len(words) + 1), chance.random()
    if way < 0.2:
        words.insert(place, _word(chance))
    elif place == len(words):
        return
    elif way < 0.75:
        words[place] = _word(chance)
    elif way < 0.85 and len(words) > 1:
        del words[place]
    elif way < 0.95:
        words.insert(chance.randrange(len(words) + 1), words[place])
    else:
        words[place] += _word(chance)


def _word(chance: random.Random) -> bytes:
    pool: tuple[str, ...] = chance.choice((_OPTIONS, _NUMBERS, _NUMBERS, _NAMES, _LISTS, STRINGS))
    word = chance.choice(pool).replace("\0", "")
    return b"\xff\xfe" if chance.random() < 0.02 else word.encode("utf-8", "surrogateescape")


def _harmless(words: list[bytes]) -> list[bytes]:
    """The words without absolute names of what is written: this may run as root."""
    kept: list[bytes] = []
    for word in words:
        writes = bool(kept) and os.fsdecode(kept[-1]).startswith(_WRITES)
        kept.append(word.replace(b"/", b"_") if writes or os.fsdecode(word).startswith(_WRITES) else word)
    return kept


def _exit_code(words: list[str], said: io.StringIO) -> object:
    with patch.object(sys, "argv", ["fewflips", *words]), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            return ended.code
    return 0


def _judge(code: object, said: str, asked_for_help: bool) -> None:
    """Hand on what came of the words as the other kinds have it."""
    lines = said.splitlines()
    if code in (0, 1) and not lines:
        return
    usage = bool(lines) and lines[0].startswith("Usage:")
    if code == 2 and len(lines) == 1 and lines[0].startswith("fewflips: ") and len(said) <= LONGEST_LINE + 100:
        if visible(lines[0]) == lines[0]:
            raise InputError(lines[0])
    elif (code == 2 and usage) or asked_for_help:
        raise InputError("help")
    raise AssertionError(f"expected one line and exit code 2, got {code!r}: {ascii(said)[:2000]}")


def _files(folder: Path) -> Files:
    model = folder / TFLITE
    model.write_bytes(tflite_seeds()[2])
    optimize(model, "edge4", mode="schedule", jobs=1).save(folder / "out")
    write_cell_table(LIBRARY, folder / _CELLS)
    return {
        f"files/{TFLITE}": model.read_bytes(),
        f"files/{_SCHEDULE}": (folder / "out" / "schedule.json").read_bytes(),
        f"files/{_CELLS}": (folder / _CELLS).read_bytes(),
        f"files/{_MACHINE}": b"name: npu\nlanes: 1\ncolumns: 1\ndataflow: output-stationary\n",
        f"files/{_CONFIG}": b"network: {name: resnet}\ndataset: {name: folder, path: nowhere}\n",
    }


def quick(folder: Path) -> Arguments:
    """Commands that are done at once, or that are refused in any case; what they import is part of their memory."""
    import_module("fewflips.training.trainer")
    return Arguments(folder, _QUICK)


def slow(folder: Path) -> Arguments:
    """Commands that run models, or simulate gates."""
    return Arguments(folder, _SLOW)
