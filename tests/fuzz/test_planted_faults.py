"""The fuzzer finds what it is there for, and says which input it was."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from scripts.fuzz.campaign import Campaign, Tally
from scripts.fuzz.findings import Finding
from scripts.fuzz.kinds import Kind
from scripts.fuzz.worker import Piece

from tests.fuzz.planted import EVERY, kind

INPUTS = 40


def bytes_of(name: str) -> list[int]:
    """The inputs, from the rule of how chance is drawn: seed, kind and number."""
    return [random.Random(f"0/{name}/{i}").randrange(1, 256) for i in range(INPUTS)]


def campaign(folder: Path, kind: Kind, inputs: int = INPUTS) -> tuple[Tally, list[Finding]]:
    done: list[tuple[Tally, list[Finding]]] = []
    said: list[str] = []
    piece = Piece(kind, 0, 0, inputs)
    Campaign(folder, 1, said.append).run([piece], lambda _, tally, found: done.append((tally, found)))
    assert len(done) == 1
    assert list(folder.iterdir()) == []
    return done[0]


def test_inputs_without_a_fault_are_accepted_or_refused(tmp_path: Path) -> None:
    tally, found = campaign(tmp_path, kind("faultless"))
    odd = sum(value % 2 for value in bytes_of("faultless"))
    assert (tally.inputs, tally.refused, tally.accepted, tally.findings, found) == (INPUTS, odd, INPUTS - odd, 0, [])


@pytest.mark.parametrize(
    ("name", "verdict", "signature"),
    [
        ("traceback", "traceback", "KeyError at planted.py:_traceback"),
        ("crash", "crash", "exit -6 at planted.py:run"),
        ("memory", "memory", "memory of memory"),
        ("message", "message", "control characters in the message at planted.py:_message"),
        ("endless_message", "message", "long message at planted.py:_endless_message"),
        ("warning", "warning", "warning: planted.py:"),
        ("standard_output", "stdout", "control characters on stdout"),
        ("standard_error", "stderr", "stderr: planted"),
        ("library_output", "stderr", "output of a library on library_output"),
    ],
)
def test_every_fault_is_found_and_no_other(tmp_path: Path, name: str, verdict: str, signature: str) -> None:
    values = bytes_of(name)[: 10 if name == "memory" else INPUTS]  # each of these takes two more processes
    tally, found = campaign(tmp_path, kind(name), len(values))
    faulty = [i for i, value in enumerate(values) if value % EVERY == 0]
    assert faulty
    assert [finding.index for finding in found] == faulty
    assert {finding.verdict for finding in found} == {verdict}
    assert {finding.signature.startswith(signature) for finding in found} == {True}
    assert tally.findings == len(faulty)
    assert tally.refused == sum(value % 2 and value % EVERY != 0 for value in values)
    assert tally.inputs == len(values) == tally.accepted + tally.refused + tally.findings


def test_a_hang_is_ended_and_found(tmp_path: Path) -> None:
    first = next(i for i, value in enumerate(bytes_of("hang")) if value % EVERY == 0)
    tally, found = campaign(tmp_path, kind("hang", seconds=1.0), first + 2)
    assert [(finding.index, finding.verdict) for finding in found] == [(first, "hang")]
    assert "planted.py:_hang" in found[0].signature
    assert tally.inputs == first + 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_programs_that_are_started_have_no_limit_of_memory(tmp_path: Path) -> None:
    """Yosys could not start at all, and its inputs were refused one and all."""
    faulty = sum(value % EVERY == 0 for value in bytes_of("limited"))
    assert campaign(tmp_path, kind("limited"))[0].findings == faulty > 0
    assert campaign(tmp_path, kind("limited", programs=True))[0].findings == 0


def test_pieces_go_through_several_processes(tmp_path: Path) -> None:
    """The same inputs in pieces, two processes at a time, have the same findings."""
    done: list[Finding] = []
    pieces = [Piece(kind("traceback"), 0, start, start + 10) for start in range(0, INPUTS, 10)]
    Campaign(tmp_path, 2, lambda text: None).run(pieces, lambda _, tally, found: done.extend(found))
    values = bytes_of("traceback")
    assert sorted(finding.index for finding in done) == [i for i in range(INPUTS) if values[i] % EVERY == 0]
