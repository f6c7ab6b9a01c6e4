"""Self-checking testbenches: a datapath or its netlist against integer arithmetic, in Icarus Verilog."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.datapath.arithmetic import PortWords, check_words, expected_outputs, first_known_output
from fewflips.datapath.design import Datapath
from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.memory_file import digits, hexadecimal
from fewflips.datapath.verilog import module_name, render, verilog
from fewflips.errors import InputError, ToolError
from fewflips.files.result_folder import save_together

_TOP = "testbench"
_HALF_PERIOD_NS = 100
"""Long enough for a mapped netlist with its cells' delays to settle within a cycle."""
_MISMATCHES_SHOWN = 5


@dataclass(frozen=True)
class Testbench:
    """A testbench as texts.

    Parameters
    ----------
    verilog : str
        Two modules: the testbench of the unit, and the top module ``testbench``, which runs it and finishes.
    stimulus : str
        Memory file of operands and expected outputs, one line per cycle, for ``$readmemh``.
    stimulus_file : str
        Name under which the Verilog reads it.
    """

    verilog: str = field(repr=False)
    stimulus: str = field(repr=False)
    stimulus_file: str


@dataclass(frozen=True)
class TestbenchResult:
    """The result of a testbench.

    Parameters
    ----------
    module : str
        The unit under test.
    checks : int
        Cycles whose output was compared.
    mismatches : int
        Cycles whose output differed from the expected one.
    first_mismatches : tuple of str
        A line for each of the first few mismatches.
    """

    module: str
    checks: int
    mismatches: int
    first_mismatches: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all outputs were as expected."""
        return self.mismatches == 0


@dataclass(frozen=True)
class _Field:
    """A part of a stimulus word: bits starting at `low`, padded with zeros to whole hexadecimal digits."""

    name: str
    bits: int
    low: int


def testbench(datapath: Datapath, operands: PortWords) -> Testbench:
    """A testbench that feeds operands to a unit and compares its output in every cycle.

    After the last words, which stay at the ports, it continues until the last result has appeared. It prints one line
    for each of the first mismatches, then ``PASS <module>: <n> checks`` or ``FAIL <module>: <m> of <n> checks
    differ``.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words at its input ports.

    Returns
    -------
    Testbench
        Verilog and memory file.

    Raises
    ------
    InputError
        If the words do not fit the ports, or do not clear the accumulator of a mac.
    """
    name = module_name(datapath)
    body, stimulus = _bench(datapath, operands)
    return Testbench(body + "\n" + render("top.v.j2", names=[name]), stimulus, _stimulus_file(datapath))


def run_testbench(
    datapath: Datapath,
    operands: PortWords,
    folder: Path | None = None,
    sources: Sequence[str] | None = None,
    timeout_s: float = 600.0,
) -> TestbenchResult:
    """Run a unit's testbench in Icarus Verilog.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words at its input ports.
    folder : Path, optional
        An existing folder in which to keep the files; by default a temporary one.
    sources : sequence of str, optional
        Verilog texts to use instead of :func:`~fewflips.datapath.verilog.verilog`: a netlist whose module has the
        name of the unit, and models of its cells.
    timeout_s : float
        Time limit for the compiler and for the simulation, each in s.

    Returns
    -------
    TestbenchResult
        The verdict.

    Raises
    ------
    InputError
        If the words do not fit the ports, or do not clear the accumulator of a mac.
    ToolError
        If Icarus Verilog is missing or fails, or does not end in time.
    """
    if sources is None:
        return run_testbenches([(datapath, operands)], folder, timeout_s)[0]
    return _run([(datapath, operands)], sources, folder, timeout_s)[0]


def run_testbenches(
    units: Sequence[tuple[Datapath, PortWords]], folder: Path | None = None, timeout_s: float = 600.0
) -> list[TestbenchResult]:
    """Run the testbenches of several units in one simulation, one after the other.

    Parameters
    ----------
    units : sequence of (Datapath, PortWords)
        Units that differ from one another, and the words at their input ports.
    folder : Path, optional
        An existing folder in which to keep the files; by default a temporary one.
    timeout_s : float
        Time limit for the compiler and for the simulation, each in s.

    Returns
    -------
    list of TestbenchResult
        One per unit.

    Raises
    ------
    InputError
        As for :func:`run_testbench`, or if a unit is given twice.
    ToolError
        As for :func:`run_testbench`.
    """
    names = [module_name(datapath) for datapath, _ in units]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"testbenches: expected units that differ, got {min(twice)} twice; give it once")
    return _run(units, [verilog(datapath) for datapath, _ in units], folder, timeout_s)


def write_rtl(datapath: Datapath, operands: PortWords, folder: Path) -> list[Path]:
    """Write a unit, its testbench and the testbench's memory file to a folder.

    Parameters
    ----------
    datapath : Datapath
        The unit.
    operands : PortWords
        Words at its input ports.
    folder : Path
        Destination; created if it does not exist.

    Returns
    -------
    list of Path
        ``<module>.v``, which says how to run the testbench, ``<module>_testbench.v`` and ``<module>_stimulus.hex``.

    Raises
    ------
    InputError
        If the words do not fit the ports, or do not clear the accumulator of a mac.
    OutputError
        If the folder cannot be created or written to. Either all files are written or none.
    """
    bench, name = testbench(datapath, operands), module_name(datapath)
    texts = {
        f"{name}.v": verilog(datapath),
        f"{name}_testbench.v": bench.verilog,
        bench.stimulus_file: bench.stimulus,
    }
    save_together(Path(folder), "fewflips rtl", {file_name: text.encode() for file_name, text in texts.items()})
    return [Path(folder) / file_name for file_name in texts]


def _run(
    units: Sequence[tuple[Datapath, PortWords]], sources: Sequence[str], folder: Path | None, timeout_s: float
) -> list[TestbenchResult]:
    names = [module_name(datapath) for datapath, _ in units]
    benches = [_bench(datapath, operands) for datapath, operands in units]
    printed = simulate_verilog(
        [*sources, *(body for body, _ in benches), render("top.v.j2", names=names)],
        _TOP,
        {_stimulus_file(datapath): stimulus for (datapath, _), (_, stimulus) in zip(units, benches, strict=True)},
        folder,
        timeout_s,
    )
    return [_result(name, printed) for name in names]


def _result(name: str, printed: str) -> TestbenchResult:
    passed = re.search(rf"^PASS {name}: (\d+) checks$", printed, re.MULTILINE)
    if passed is not None:
        return TestbenchResult(name, int(passed[1]), 0)
    failed = re.search(rf"^FAIL {name}: (\d+) of (\d+) checks differ$", printed, re.MULTILINE)
    if failed is None:
        last = printed.strip().rpartition("\n")[2] or "nothing"
        raise ToolError(f"testbench of {name}: expected PASS or FAIL, got {last!r}; do the sources end the simulation?")
    lines = re.findall(rf"^{name}: (cycle \d+: .*)$", printed, re.MULTILINE)
    return TestbenchResult(name, int(failed[2]), int(failed[1]), tuple(lines))


def _bench(datapath: Datapath, operands: PortWords) -> tuple[str, str]:
    """The module that tests a unit when its ``run`` task is called, and its memory file."""
    check_words(datapath, operands)
    held = operands.held(datapath.latency + datapath.skew_cycles)
    first_check = first_known_output(datapath, held)
    if first_check >= held.cycles:
        if held.load is not None:
            raise InputError("load: expected each lane to load at least once, got one that never does; load in cycle 0")
        raise InputError("clear: expected at least one cycle that clears the accumulator, got none; set the first one")
    words = _words(datapath, held)
    fields, low = [], 0
    for port, (_, port_bits, lanes) in reversed(words.items()):
        fields.append(_Field(port, port_bits * lanes, low))
        low += 4 * digits(port_bits * lanes)
    body = render(
        "testbench.v.j2",
        name=module_name(datapath),
        stimulus_file=_stimulus_file(datapath),
        fields=fields[::-1],
        output=datapath.traits.output,
        clocked=datapath.traits.clocked,
        cycles=held.cycles,
        first_check=first_check,
        mismatches_shown=_MISMATCHES_SHOWN,
        word_bits=low,
        half_period_ns=_HALF_PERIOD_NS,
    )
    return body, _stimulus(words)


def _words(datapath: Datapath, operands: PortWords) -> dict[str, tuple[NDArray[np.integer], int, int]]:
    """For the output and each port, from left to right in a stimulus word: codes (T, L), their bits, L."""
    sum_bits = datapath.output_bits
    words: dict[str, tuple[NDArray[np.integer], int, int]] = {
        "expected": (expected_outputs(datapath, operands)[:, None], sum_bits, 1)
    }
    if operands.clear is not None:
        words["clear"] = (operands.clear[:, None].astype(np.uint8), 1, 1)
    for port, flags in (("weights", operands.weights_invert), ("activations", operands.activations_invert)):
        if flags is not None:
            words[f"{port}_invert"] = (flags.astype(np.uint8), 1, datapath.lanes)
    if operands.negate is not None:
        words["negate"] = (operands.negate[:, None].astype(np.uint8), 1, 1)
    if operands.load is not None:
        words["load"] = (operands.load.astype(np.uint8), 1, datapath.lanes)
    if operands.partial_sums is not None:
        words["partial_sum"] = (operands.partial_sums[:, None].astype(np.uint64), sum_bits, 1)
    words["activations"] = (operands.activations, datapath.activations.bits, datapath.lanes)
    words["weights"] = (operands.weights, datapath.weights.bits, datapath.lanes)
    return words


def _stimulus(words: dict[str, tuple[NDArray[np.integer], int, int]]) -> str:
    columns = [hexadecimal(codes, bits) for codes, bits, _ in words.values()]
    between = np.full((len(columns[0]), 1), ord("_"), dtype=np.uint8)
    joined = [part for column in columns for part in (between, column)][1:]
    newline = np.full_like(between, ord("\n"))
    return np.concatenate((*joined, newline), axis=1).tobytes().decode("ascii")


def _stimulus_file(datapath: Datapath) -> str:
    return f"{module_name(datapath)}_stimulus.hex"
