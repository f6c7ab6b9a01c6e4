"""The command line as a user meets it: output, errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewflips.cli import main
from tests.network import build_tflite as small
from tests.patience import PATIENCE_S


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(small.branching())
    return path


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_measure_prints_a_table(monkeypatch, capsys, branching):
    assert run(monkeypatch, "measure", branching) == 0
    output = capsys.readouterr().out
    assert "total" in output.lower()
    assert "no sample inputs were given" in output


def test_measure_prints_json(monkeypatch, capsys, branching):
    assert run(monkeypatch, "measure", branching, "--json", "--accelerator", "tpu16") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["format"] == "fewflips-measurement"
    assert report["accelerator"]["name"] == "tpu16"


def test_a_binary_schedule_is_written_where_it_is_asked_for_and_verified(monkeypatch, capsys, branching, tmp_path):
    words = ("optimize", branching, "--output", tmp_path / "out", "--mode", "schedule", "--binary-schedule")
    assert run(monkeypatch, *words, "--jobs", 1) == 0
    assert "schedule.bin" in capsys.readouterr().out
    assert run(monkeypatch, "verify", branching, tmp_path / "out" / "schedule.bin") == 0
    assert "sums are equal" in " ".join(capsys.readouterr().out.split())
    content = bytearray((tmp_path / "out" / "schedule.bin").read_bytes())
    content[100] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(content)
    assert run(monkeypatch, "verify", branching, changed) == 2
    reason = "its checksum does not fit, so it was cut off or changed: write it again"
    assert capsys.readouterr().err == f"fewflips: {changed}: expected a fewflips schedule: {reason}\n"


def test_a_binary_schedule_that_no_step_gives_is_missed_in_words(monkeypatch, capsys, branching, tmp_path):
    words = ("optimize", branching, "--output", tmp_path / "out", "--without", "schedule", "--binary-schedule")
    assert run(monkeypatch, *words, "--jobs", 1) == 0
    assert "there is no schedule.bin, since no step that was applied gives a schedule" in capsys.readouterr().err
    assert not (tmp_path / "out" / "schedule.bin").exists()


def test_optimize_writes_its_files_and_prints_json(monkeypatch, capsys, branching, tmp_path):
    assert run(monkeypatch, "optimize", branching, "--output", tmp_path / "out", "--json", "--jobs", 1) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "fewflips-manifest.json",
        "model.tflite",
        "report.html",
        "report.json",
        "schedule.json",
    ]
    assert run(monkeypatch, "verify", branching, tmp_path / "out" / "model.tflite") == 0
    assert "equal bit for bit" in " ".join(capsys.readouterr().out.split())
    assert run(monkeypatch, "verify", branching, tmp_path / "out" / "schedule.json", "--json") == 0
    assert json.loads(capsys.readouterr().out)["check"]["passed"]


def test_verify_exits_with_1_where_models_differ(monkeypatch, capsys, branching, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(small.branching(seed=1))
    assert run(monkeypatch, "verify", branching, other) == 1
    assert "the largest difference is" in " ".join(capsys.readouterr().out.split())


def test_accelerators_are_listed(monkeypatch, capsys):
    assert run(monkeypatch, "accelerators") == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ("edge16", "edge8", "edge4", "tpu16", "os16"))
    assert run(monkeypatch, "accelerators", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure", "absent.tflite"], "fewflips: absent.tflite: cannot be read: No such file or directory"),
        (["measure", "{model}", "--accelerator", "edge17"], "expected one of edge16, edge8"),
        (["measure", "{model}", "--inputs", "absent"], "absent"),
        (["measure", "{float}"], "quantize"),
        (["measure", "{cut}"], "cut.tflite"),
        (["optimize", "{model}", "--output", "{model}/out"], "cannot be made: Not a directory"),
        (["verify", "{model}", "{cut}"], "cut.tflite"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(monkeypatch, capsys, branching, tmp_path, arguments, message):
    (tmp_path / "float.tflite").write_bytes(small.floating())
    (tmp_path / "cut.tflite").write_bytes(branching.read_bytes()[:500])
    names = {"model": branching, "float": tmp_path / "float.tflite", "cut": tmp_path / "cut.tflite"}
    assert run(monkeypatch, *(argument.format(**names) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fewflips: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimize", "{model}", "--output", "x", "--mode", "all"], "is not one of 'schedule', 'drop-in', 'both'"),
        (["optimize", "{model}"], "Missing option '--output'. See fewflips optimize --help"),
        (["measure"], "Missing argument 'MODEL'."),
        (["bogus"], "No such command 'bogus'."),
        (["measure", "{model}", "--nope"], "No such option"),
        (["measure", "{model}", "--accelerator", "a" * 300], "expected one of edge16"),
        (["measure", "{model}", "--inputs", "a" * 300], "expected a folder of images or an .npz file"),
        (["optimize", "{model}", "--output", "{folder}"], "is the model itself and would be replaced"),
        (["optimize", "{model}", "--output", "{taken}"], "schedule.json: expected a file or nothing, got a folder"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path, arguments, message):
    model = tmp_path / "model.tflite"
    model.write_bytes(small.branching())
    (tmp_path / "taken" / "schedule.json").mkdir(parents=True)
    names = {"model": model, "folder": tmp_path, "taken": tmp_path / "taken"}
    assert run(monkeypatch, *(argument.format(**names) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("fewflips: ")
    assert error.count("\n") == 1
    assert message in error
    assert model.read_bytes() == small.branching()


def test_a_full_disk_behind_stdout_is_one_line(branching):
    command = [sys.executable, "-m", "fewflips", "measure", str(branching)]
    with open("/dev/full", "w") as full:
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("fewflips: No space left on device")
    assert process.stderr.count("\n") == 1


def test_a_name_that_is_not_unicode(monkeypatch, capsys, tmp_path):
    path = os.fsencode(tmp_path) + b"/bad\xff.tflite"
    with open(path, "wb") as file:
        file.write(small.branching())
    assert run(monkeypatch, "measure", os.fsdecode(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"]["file"] == "bad\ufffd.tflite"


def test_help_names_every_command(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    output = capsys.readouterr().out
    assert all(command in output for command in ("measure", "optimize", "verify", "demo", "accelerators"))


def test_help_and_import_load_nothing_heavy():
    code = "import sys, fewflips, fewflips.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numba", "numpy", "onnx", "onnxruntime", "ai_edge_litert", "matplotlib", "pydantic", "rich", "torch"}
    assert heavy.isdisjoint(loaded)


def test_ctrl_c_exits_with_130_and_leaves_all_or_nothing(shared: Path, tmp_path: Path):
    """Before the searches begin nothing is written; after that whole results are, of what was found by then."""
    model = shared / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    command = [sys.executable, "-m", "fewflips", "optimize", str(model), "--output", str(tmp_path / "out"), "--prove"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(8)  # into the solver
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    if errors.strip() == "fewflips: interrupted":  # click begins a new line after ^C
        assert output == ""
        assert list(tmp_path.iterdir()) == []
    else:
        assert errors.strip() == "fewflips: interrupted; the results are what was found by then"
        found = [sys.executable, "-m", "fewflips", "verify", str(model), str(tmp_path / "out" / "schedule.json")]
        assert subprocess.run(found, capture_output=True, check=False).returncode == 0


def test_a_closed_pipe_is_no_error(branching):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fewflips", "measure", str(branching), "--json"]
    process = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert process.stderr == ""
    assert process.returncode == 0


def test_ctrl_c_while_the_command_is_loading(monkeypatch, capsys):
    from fewflips import __main__ as entry

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("fewflips.cli.main", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stopped:
            entry.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "fewflips: interrupted\n"


INTERRUPTED_AT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

if sys.argv.pop(1) == "loading":
    sys.meta_path.insert(0, Interrupting())
else:
    import threading
    threading._register_atexit(os.kill, os.getpid(), signal.SIGINT)
from fewflips.__main__ import main
main()
"""


@pytest.mark.parametrize(("moment", "said"), [("loading", "fewflips: interrupted\n"), ("end", "")])
def test_ctrl_c_while_python_loads_the_command_or_takes_itself_down(moment, said):
    command = [sys.executable, "-c", INTERRUPTED_AT, moment, "accelerators"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (130, said)


def test_memory_that_runs_out_is_one_line(monkeypatch, capsys, branching):
    def exhausted(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("fewflips.network.tflite.reader.read_plain", exhausted)
    assert run(monkeypatch, "measure", branching) == 2
    expected = "fewflips: out of memory: give smaller files or fewer samples, or use a machine with more of it\n"
    assert capsys.readouterr().err == expected
