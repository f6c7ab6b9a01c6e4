"""The parent: hands out pieces of the work, ends workers that hang, and collects what they find."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fewflips.errors import ToolError

from .findings import Finding
from .kinds import Kind
from .worker import ACCEPTED, BASE, INDEX, PEAK, REFUSED, SLOWEST, SLOWEST_INDEX, STARTED, Piece, work

PIECE_SECONDS = 600.0
"""How long a worker may take to prepare; long enough to compile kernels and Yosys on a busy machine."""

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass
class Tally:
    """Outcomes of the inputs of one kind."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    findings: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest_index: int = -1
    peak_mib: float = 0.0
    valid_mib: float = 0.0
    not_reproduced: int = 0

    def merge(self, other: Tally) -> None:
        """Add the outcomes of other inputs of the kind."""
        for name in ("inputs", "accepted", "refused", "findings", "seconds", "not_reproduced"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.peak_mib, self.valid_mib = max(self.peak_mib, other.peak_mib), max(self.valid_mib, other.valid_mib)
        if other.slowest_seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest_index = other.slowest_seconds, other.slowest_index

    def add(self, figures: Any, stopped: int, start: int, seconds: float) -> None:
        self.inputs += stopped - start
        self.accepted += figures[ACCEPTED]
        self.refused += figures[REFUSED]
        self.seconds += seconds
        self.peak_mib = max(self.peak_mib, round(figures[PEAK] / 2**20, 1))
        self.valid_mib = max(self.valid_mib, round(figures[BASE] / 2**20, 1))
        if figures[SLOWEST] / 1e9 > self.slowest_seconds:
            self.slowest_seconds = round(figures[SLOWEST] / 1e9, 3)
            self.slowest_index = figures[SLOWEST_INDEX]


@dataclass
class _Part:
    """A piece of the work, how far it has got, and the outcomes so far."""

    whole: Piece
    start: int
    tally: Tally = field(default_factory=Tally)
    found: list[Finding] = field(default_factory=list)

    @property
    def rest(self) -> Piece:
        return replace(self.whole, start=self.start)


@dataclass
class _Running:
    """A worker under way."""

    part: _Part
    scratch: Path
    process: Any
    pipe: Connection
    figures: Any
    begun: float = field(default_factory=time.monotonic)
    stopped: int | None = None
    found: list[Finding] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ended: str = ""

    def receive(self) -> None:
        """Receive what the worker has sent."""
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                what, *content = self.pipe.recv()
                if what == "finding":
                    self.found.append(Finding(self.part.whole.kind.name, self.part.whole.seed, *content))
                elif what == "invalid":
                    self.problems.append(": ".join(content))
                elif what == "broken":
                    raise ToolError(f"{self.part.whole.kind.name}: the fuzzer's own fault: {content[0]}")
                else:
                    self.stopped = content[0]

    def watch(self) -> None:
        """End the worker if its input takes too long."""
        started, now = self.figures[STARTED], time.monotonic_ns()
        if started and now - started > self.part.whole.kind.seconds * 1e9:
            self.end("hang")
        elif not started and self.figures[INDEX] < 0 and time.monotonic() - self.begun > PIECE_SECONDS:
            self.end("preparation took too long")

    def end(self, why: str) -> None:
        self.ended = why
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGUSR1)  # it writes where it is
            time.sleep(0.2)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()


OnPiece = Callable[[Piece, Tally, list[Finding]], None]


class Campaign:
    """Runs pieces in a fixed number of processes."""

    def __init__(self, folder: Path, jobs: int, say: Callable[[str], None]) -> None:
        self.folder, self.jobs, self.say = folder, jobs, say
        self._running: list[_Running] = []
        self._started = 0

    def run(self, pieces: Iterable[Piece], on_piece: OnPiece) -> None:
        """Work through the pieces; `on_piece` is called with the outcomes of each piece that is finished."""
        waiting = [_Part(piece, piece.start) for piece in reversed(list(pieces))]
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.jobs:
                    self._running.append(self._start(waiting.pop()))
                for worker in [*self._running]:
                    if self._works(worker):
                        continue
                    self._running.remove(worker)
                    part = self._settle(worker)
                    if part.start < part.whole.stop:
                        waiting.append(part)
                    else:
                        on_piece(part.whole, part.tally, part.found)
                time.sleep(0.02)
        finally:
            for worker in self._running:
                worker.end("stopped")
                shutil.rmtree(worker.scratch, ignore_errors=True)

    def _start(self, part: _Part) -> _Running:
        self._started += 1
        scratch = self.folder / f"worker-{os.getpid()}-{id(self)}-{self._started}"
        scratch.mkdir(parents=True)
        figures = _CONTEXT.Array("q", [-1, 0, 0, 0, 0, -1, 0, 0], lock=False)
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=work, args=(part.rest, scratch, figures, theirs))
        process.start()
        theirs.close()
        return _Running(part, scratch, process, ours, figures)

    def _works(self, worker: _Running) -> bool:
        alive = worker.process.is_alive()
        worker.receive()
        if alive:
            worker.watch()
            return not worker.ended
        return False

    def _settle(self, worker: _Running) -> _Part:
        """Account for a worker that has ended, and find where its piece continues."""
        worker.process.join()
        part, stopped = worker.part, worker.stopped
        if stopped is None:
            stopped = self._cut_short(worker)
        for problem in worker.problems:
            self.say(f"{part.whole.kind.name}: a valid input is not accepted: {problem}")
        part.tally.add(worker.figures, stopped, part.start, time.monotonic() - worker.begun)
        for finding in worker.found:
            self._take(finding, part)
        shutil.rmtree(worker.scratch, ignore_errors=True)
        part.start = stopped
        return part

    def _cut_short(self, worker: _Running) -> int:
        """Blame the input at which a worker ended or was ended."""
        kind, index = worker.part.whole.kind.name, int(worker.figures[INDEX])
        stack, said = _text(worker.scratch / "stack"), _text(worker.scratch / "said")
        if index < 0:
            raise ToolError(
                f"{kind}: the worker ended before its first input: {worker.ended or 'crash'}: {said[-800:]}"
            )
        verdict = worker.ended or "crash"
        what = verdict if worker.ended else f"exit {worker.process.exitcode}"
        found = Finding(kind, worker.part.whole.seed, index, verdict, f"{what} at {_innermost(stack)}", stack[-4000:])
        worker.found.append(found)
        return index + 1

    def _take(self, finding: Finding, part: _Part) -> None:
        if finding.verdict in ("memory", "hang") and part.whole.stop - part.whole.start > 1:
            confirmed = self._alone(part.whole.kind, finding)
            if confirmed is None:
                part.tally.not_reproduced += 1
                self.say(f"{finding.kind}:{finding.index}: {finding.verdict} not found again in a fresh process")
                return
            finding = confirmed
        part.tally.findings += 1
        if all(finding.key != other.key for other in part.found):
            self.say(f"{finding.kind}:{finding.index}: {finding.verdict}: {finding.signature}")
        part.found.append(finding)

    def _alone(self, kind: Kind, finding: Finding) -> Finding | None:
        """The finding of the same input in a process of its own."""
        found: list[Finding] = []
        piece = Piece(kind, finding.seed, finding.index, finding.index + 1)
        Campaign(self.folder, 1, self.say).run([piece], lambda _, tally, others: found.extend(others))
        return found[0] if found else None


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _innermost(stack: str) -> str:
    """The innermost function of fewflips in what faulthandler wrote, and the innermost of all."""
    frames = [line.strip() for line in stack.splitlines() if line.strip().startswith("File ")]
    names = [frame.split('"')[1].rpartition("/")[2] + ":" + frame.rpartition(" in ")[2] for frame in frames]
    ours = [name for frame, name in zip(frames, names, strict=True) if "/fewflips/" in frame.split('"')[1]]
    return " < ".join(dict.fromkeys([*names[:1], *ours[:1]])) or "nowhere"
