"""Icarus Verilog, the event-driven simulator against which datapaths and netlists are checked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fewflips.errors import ToolError
from fewflips.files.leftovers import temporary_folder

_OLDEST_MAJOR_VERSION = 10


def icarus_version() -> str:
    """Version of the installed Icarus Verilog, such as ``11.0``.

    Raises
    ------
    ToolError
        If ``iverilog`` or ``vvp`` is not on the path, does not run, or is older than version 10.
    """
    for program in ("iverilog", "vvp"):
        if shutil.which(program) is None:
            raise ToolError(
                f"{program} was not found on the path: install Icarus Verilog {_OLDEST_MAJOR_VERSION} or later "
                "(Debian and Ubuntu: apt install iverilog)"
            )
    text = _run(["iverilog", "-V"], Path.cwd(), 60.0, check=False)
    found = re.search(r"Icarus Verilog version (\d+)(\.\d+)?", text)
    if found is None:
        raise ToolError(f"iverilog -V: expected a version, got {_first_line(text)!r}; install Icarus Verilog again")
    if int(found[1]) < _OLDEST_MAJOR_VERSION:
        raise ToolError(
            f"Icarus Verilog: expected version {_OLDEST_MAJOR_VERSION} or later, got {found[1]}{found[2] or ''}"
        )
    return f"{found[1]}{found[2] or ''}"


def simulate_verilog(
    sources: Sequence[str],
    top: str,
    files: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 600.0,
) -> str:
    """Compile Verilog and run it to its end.

    Parameters
    ----------
    sources : sequence of str
        Verilog-2005 texts.
    top : str
        The module to run.
    files : mapping of str to str, optional
        Other files that the simulation reads, by name.
    folder : Path, optional
        An existing working folder, in which files (such as a VCD that the simulation writes) remain; by default a
        temporary one.
    timeout_s : float
        Time limit for the compiler and for the simulation, each in s.

    Returns
    -------
    str
        What the simulation printed.

    Raises
    ------
    ToolError
        If Icarus Verilog is missing or too old, a source does not compile, or the simulation fails or does not finish
        in time.
    """
    icarus_version()
    if folder is not None:
        return _simulate(sources, top, files or {}, folder.resolve(), timeout_s)
    with temporary_folder("fewflips-icarus-") as temporary:
        return _simulate(sources, top, files or {}, Path(temporary), timeout_s)


def _simulate(sources: Sequence[str], top: str, files: Mapping[str, str], folder: Path, timeout_s: float) -> str:
    names = [f"source_{number}.v" for number in range(len(sources))]
    try:
        for name, text in [*zip(names, sources, strict=True), *files.items()]:
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolError(f"cannot write a simulation to {folder}: {error.strerror or error}") from error
    _run(["iverilog", "-g2005", "-s", top, "-o", "simulation.vvp", *names], folder, timeout_s)
    return _run(["vvp", "-N", "simulation.vvp"], folder, timeout_s)


def _run(command: list[str], folder: Path, timeout_s: float, check: bool = True) -> str:
    try:
        finished = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"{command[0]} did not end within {timeout_s:g} s: give it more time, or simulate fewer cycles"
        ) from error
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be run: {error.strerror or error}") from error
    if check and finished.returncode:
        raise ToolError(f"{command[0]} failed with status {finished.returncode}: {_first_line(finished.stdout)}")
    return finished.stdout


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "it printed nothing"
