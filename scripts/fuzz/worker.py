"""The process that tries inputs of one kind; its parent watches it, and starts another when it ends."""

from __future__ import annotations

import faulthandler
import os
import random
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import memory
from .kinds import Files, Kind, Target
from .outcome import Outcome, judge

GROWTH = 1.3
"""Growth of a worker's memory between inputs after which a fresh worker replaces it."""

SPARE_BYTES = 3 << 30
"""Address space that one input may ask for before allocations fail."""

INDEX, STARTED, ACCEPTED, REFUSED, SLOWEST, SLOWEST_INDEX, PEAK, BASE = range(8)
"""Slots of the figures that the parent reads while the worker is running."""


@dataclass(frozen=True)
class Piece:
    """Inputs of one kind from `start` up to `stop`."""

    kind: Kind
    seed: int
    start: int
    stop: int


def input_of(target: Target, piece: Piece, index: int) -> Files:
    """Input number `index`: nothing but kind, seed and number decide what it is."""
    return target.make(random.Random(f"{piece.seed}/{piece.kind.name}/{index}"))


def work(piece: Piece, scratch: Path, figures: Any, pipe: Connection) -> None:
    """Work through a piece, send every finding, and finally where the worker stopped."""
    with suppress(OSError):
        os.setsid()  # so that whatever it starts ends with it
    log = (scratch / "said").open("a+b", buffering=0)
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)
    stacks = (scratch / "stack").open("w")
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=False)
    faulthandler.enable(stacks, all_threads=False)
    os.environ["TMPDIR"] = str(_fresh(scratch / "temporary"))
    sys.setswitchinterval(0.05)
    with pipe:
        try:
            stopped = _Work(piece, scratch, figures, pipe, log.fileno()).go()
        except BaseException:  # of the fuzzer's own: the run cannot go on
            pipe.send(("broken", traceback.format_exc()))
            raise
        pipe.send(("stopped", stopped))


class _Work:
    """State while a piece is worked on."""

    def __init__(self, piece: Piece, scratch: Path, figures: Any, pipe: Connection, log: int) -> None:
        self.piece, self.figures, self.pipe, self.log = piece, figures, pipe, log
        self.folder = scratch / "input"
        self.target = piece.kind.prepare(_fresh(scratch / "prepared"))
        self.said = 0

    def go(self) -> int:
        """Number of the first input that was not tried."""
        base = self._base()
        self.figures[BASE] = base
        if not self.piece.kind.programs:
            memory.limit_address_space(SPARE_BYTES)
        for index in range(self.piece.start, self.piece.stop):
            outcome, peak = self._one(index, 2 * base)
            if outcome.is_finding:
                self.pipe.send(("finding", index, outcome.verdict, outcome.signature, outcome.detail))
            if peak > 2 * base or (index % 256 == 255 and memory.resident_bytes() > GROWTH * base):
                return index + 1
        return self.piece.stop

    def _base(self) -> int:
        """Peak memory of the valid inputs, after which everything that they import and compile is loaded."""
        valid = self.target.valid()
        for files in [*valid, *valid]:
            write_files(self.folder, files)
            outcome = judge(lambda: self.target.run(self.folder))
            if outcome.verdict != "accepted":
                self.pipe.send(("invalid", outcome.verdict, outcome.signature, outcome.detail))
        return memory.peak_bytes()

    def _one(self, index: int, most: int) -> tuple[Outcome, int]:
        files = input_of(self.target, self.piece, index)
        write_files(self.folder, files)
        self.said = os.fstat(self.log).st_size
        memory.reset_peak()
        self.figures[INDEX] = index
        begin = time.monotonic_ns()
        self.figures[STARTED] = begin
        outcome = judge(lambda: self.target.run(self.folder))
        taken = time.monotonic_ns() - begin
        self.figures[STARTED] = 0
        peak = memory.peak_bytes()
        if not outcome.is_finding and peak > most:
            detail = f"{peak >> 20} MiB; the valid input takes {most >> 21} MiB"
            outcome = Outcome("memory", f"memory of {self.piece.kind.name}", detail)
        said = os.fstat(self.log).st_size
        if said > self.said and not outcome.is_finding:
            outcome = Outcome("stderr", f"output of a library on {self.piece.kind.name}", self._last_words(self.said))
        self._note(index, outcome, taken, peak)
        return outcome, peak

    def _note(self, index: int, outcome: Outcome, taken: int, peak: int) -> None:
        if not outcome.is_finding:
            self.figures[ACCEPTED if outcome.verdict == "accepted" else REFUSED] += 1
        self.figures[PEAK] = max(self.figures[PEAK], peak)
        if taken > self.figures[SLOWEST]:
            self.figures[SLOWEST], self.figures[SLOWEST_INDEX] = taken, index

    def _last_words(self, since: int) -> str:
        return os.pread(self.log, 2000, since).decode("utf-8", "replace")


def write_files(folder: Path, files: Files) -> None:
    """Write the input's files, and remove all others."""
    if folder.exists():
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in files:
                entry.unlink()
    else:
        folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        if "/" in name:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
