"""What reaches the terminal: never a control character from a file, whatever the console is or is not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

import fewflips.cli
from fewflips.cli import console, main
from fewflips.errors import FewflipsError, InputError, ModelError, OutputError
from tests.network import build_tflite as small

HOSTILE = "a\x1b]0;owned\x07b\x1b[2Jc\x9b31md\x7fe\u202ef\u2066g\u200bh\ri\x08j\u2028k\x85l"
FEWFLIPS = f"{shlex.quote(sys.executable)} -m fewflips"
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(small.branching())
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "machine.yaml"
    path.write_text(yaml.safe_dump({"name": HOSTILE, "description": HOSTILE, "lanes": 4, "columns": 4}))
    return path


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", command], capture_output=True, env={**os.environ, **environment}, check=False)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def shown_safely(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def one_error(text: str) -> bool:
    return text.startswith("fewflips: ") and text.count("\n") == 1 and len(text) < 1200 and shown_safely(text)


@pytest.mark.parametrize(
    "arguments", ["measure {model}", "measure {model} --json", "accelerators", "--help", "--version"]
)
def test_a_closed_stdout_is_one_line_before_anything_is_done(model: Path, arguments: str) -> None:
    done = shell(f"{FEWFLIPS} {arguments.format(model=model)} >&-")
    assert done.returncode == 2
    assert one_error(done.stderr.decode())
    assert b"standard output is closed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("accelerators", 0), ("measure {model}", 0), ("measure absent", 2), ("bogus", 2), ("", 2), ("--help", 0)],
)
def test_a_closed_stderr_changes_no_exit_code(model: Path, arguments: str, code: int) -> None:
    arguments = arguments.format(model=model)
    with_stderr, without = shell(f"{FEWFLIPS} {arguments}"), shell(f"{FEWFLIPS} {arguments} 2>&-")
    assert (with_stderr.returncode, without.returncode) == (code, code)
    assert without.stdout == with_stderr.stdout


def test_with_all_streams_closed_results_are_whole(model: Path, tmp_path: Path) -> None:
    command = f"{FEWFLIPS} optimize {shlex.quote(str(model))} --jobs 1 --output {shlex.quote(str(tmp_path))}"
    assert shell(f"{command}/a").returncode == 0
    assert shell(f"{command}/b <&- 2>&-").returncode == 0
    for name in ("model.tflite", "schedule.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(
    "arguments", ["measure {model}", "measure {model} --json", "accelerators", "--help", "--version"]
)
def test_a_full_disk_is_one_line(model: Path, arguments: str) -> None:
    done = shell(f"{FEWFLIPS} {arguments.format(model=model)} >/dev/full")
    assert done.returncode == 2
    assert one_error(done.stderr.decode())
    assert b"No space left on device" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(("arguments", "code"), [("measure {model}", 0), ("measure absent", 2), ("bogus", 2), ("", 2)])
def test_a_full_disk_behind_stderr_changes_no_exit_code(model: Path, arguments: str, code: int) -> None:
    assert shell(f"{FEWFLIPS} {arguments.format(model=model)} 2>/dev/full").returncode == code


@pytest.mark.parametrize("environment", [ASCII, C_LOCALE, {"PYTHONIOENCODING": "latin-1"}], ids=["ascii", "C", "latin"])
@pytest.mark.parametrize("arguments", ["measure {model}", "accelerators", "cells list", "--help"])
def test_a_console_that_lacks_letters_gets_others(model: Path, arguments: str, environment: dict[str, str]) -> None:
    done = shell(f"{FEWFLIPS} {arguments.format(model=model)}", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert b"?" not in done.stdout
    assert done.stdout.decode("ascii" if environment is ASCII else "latin-1")


def test_an_error_on_an_ascii_console(tmp_path: Path) -> None:
    done = shell(f"{FEWFLIPS} measure {shlex.quote(str(tmp_path))}/n\u00f6\u00b5.tflite", **ASCII)
    assert done.returncode == 2
    assert one_error(done.stderr.decode("ascii"))
    assert b"n?u.tflite: cannot be read" in done.stderr


def test_json_on_an_ascii_console_is_the_same_json(model: Path, tmp_path: Path) -> None:
    named = tmp_path / "n\u00f6\U0001f600.tflite"
    model.rename(named)
    command = f"{FEWFLIPS} measure {shlex.quote(str(named))} --json"
    ascii_alone, unicode = shell(command, **ASCII), shell(command, PYTHONIOENCODING="utf-8")
    assert ascii_alone.returncode == unicode.returncode == 0
    assert json.loads(ascii_alone.stdout.decode("ascii")) == json.loads(unicode.stdout)
    assert json.loads(unicode.stdout)["model"]["file"] == named.name


@pytest.mark.parametrize("terminal", [False, True])
def test_names_from_files_are_harmless_in_tables(
    model: Path, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(monkeypatch, "measure", model, "--accelerator", machine) == 0
    output = capsys.readouterr().out
    assert ("\x1b[1m" in output) == terminal
    assert shown_safely(re.sub("\x1b\\[[0-9;]*m", "", output))
    assert "owned" in output


def test_names_from_files_are_harmless_in_json(
    model: Path, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "measure", model, "--accelerator", machine, "--json") == 0
    output = capsys.readouterr().out
    assert shown_safely(output)
    assert json.loads(output)["accelerator"]["name"] == HOSTILE


def hostile_errors(folder: Path, model: Path) -> dict[str, list[object]]:
    """Commands that fail over something with a hostile or huge name."""
    return {
        "a missing file": ["measure", f"{folder}/{HOSTILE}"],
        "an accelerator": ["measure", model, "--accelerator", HOSTILE],
        "a key": ["measure", model, "--accelerator", folder / "key.yaml"],
        "a value": ["measure", model, "--accelerator", folder / "value.yaml"],
        "a huge key": ["measure", model, "--accelerator", folder / "huge.yaml"],
        "a library": ["energy", model, "--cells", folder / "cells.lib"],
        "no library": ["energy", model, "--cells", HOSTILE],
        "a schedule": ["verify", model, folder / "schedule.json"],
        "samples": ["measure", model, "--inputs", HOSTILE],
        "a layer": ["rtl", model, "--layer", HOSTILE * 4000, "--output", folder / "rtl"],
        "an option": ["measure", model, "--" + HOSTILE],
        "a command": [HOSTILE],
        "a choice": ["optimize", model, "--output", folder / "out", "--mode", HOSTILE * 4000],
    }


@pytest.fixture
def hostile_files(tmp_path: Path) -> Path:
    """The files that those commands read."""
    machine = {"name": "a", "lanes": 4, "columns": 4}
    (tmp_path / "key.yaml").write_text(yaml.safe_dump({**machine, HOSTILE: HOSTILE}))
    (tmp_path / "value.yaml").write_text(yaml.safe_dump({**machine, "columns": HOSTILE}))
    (tmp_path / "huge.yaml").write_text(yaml.safe_dump({**machine, HOSTILE * 4000: 1}))
    (tmp_path / "cells.lib").write_text(f'library ("{HOSTILE}") {{ {HOSTILE * 20000} }}', encoding="utf-8")
    (tmp_path / "schedule.json").write_text(json.dumps({"format": HOSTILE, HOSTILE: 1}))
    return tmp_path


@pytest.mark.parametrize("case", hostile_errors(Path(), Path()))
def test_errors_are_one_short_harmless_line(
    case: str, model: Path, hostile_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *hostile_errors(hostile_files, model)[case]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_error(captured.err), captured.err[:2000]


@pytest.mark.parametrize("kind", [FewflipsError, InputError, ModelError, OutputError])
def test_an_error_s_text_is_one_short_line_in_python_too(kind: type[FewflipsError]) -> None:
    error = kind(f"{HOSTILE}\n" * 50_000 + "; rename it")
    assert str(error).isprintable()
    assert len(str(error)) <= 1000
    assert str(error).startswith("a\ufffd]0;owned\ufffdb")
    assert str(error).endswith("; rename it")
    assert str(kind("expected 1, got 2; give 1")) == "expected 1, got 2; give 1"


def test_python_s_warnings_are_one_harmless_line() -> None:
    code = "from fewflips.cli import console; import warnings; console.prepare_streams()\n"
    code += f"warnings.warn({HOSTILE * 1000!r}, stacklevel=1)"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert one_error(done.stderr)
    assert done.stderr.startswith("fewflips: warning: a")


def test_progress_shows_a_phase_as_it_is_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.progress_bars() as progress:
        progress(f"[bold]layer[/]{HOSTILE}[/nope]", 1, 2)
    assert "[bold]layer[/]" in capsys.readouterr().err


def test_the_end_of_a_file_is_not_taken_for_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def reading() -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setitem(fewflips.cli.cli.commands, "reading", reading)
    monkeypatch.setattr(sys, "argv", ["fewflips", "reading"])
    with pytest.raises(EOFError, match="Ran out of input"):
        main()
