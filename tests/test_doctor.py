"""What an installation has and lacks, and scripts that complete commands."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

import fewflips
from fewflips.cli import main

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "doctor.schema.json").read_text())
REQUIREMENTS = [
    "numpy>=2.0",
    "nothing-like-it>=1.0",
    "click>=9999",
    'scipy>=1.14; extra == "assignment"',
    'fewflips[gates]; extra == "explore"',
    "absent-too; extra == 'gguf'",
    'pytest>=1; extra == "dev"',
    "later; python_version >= '3.99' and extra == 'memory'",
]


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


@pytest.fixture
def report(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIREMENTS)
    return fewflips.doctor()


def test_packages_that_are_missing_or_too_old_are_told(report):
    parts = {part.name: part for part in report.parts}
    assert parts["numpy"].usable
    assert parts["numpy"].version == metadata.version("numpy")
    assert (parts["nothing-like-it"].usable, parts["nothing-like-it"].version) == (False, None)
    assert (parts["click"].usable, parts["click"].lowest) == (False, "9999")
    assert parts["absent-too"].install == "pip install 'fewflips[gguf]'"
    assert not {"fewflips", "pytest", "later"} & set(parts)
    assert not report.healthy
    assert report.python == platform.python_version()


def test_programs_are_asked_for_their_version(report, monkeypatch, tmp_path):
    program = tmp_path / "iverilog"
    program.write_text("#!/bin/sh\necho\necho Icarus 99.5\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    tools = {part.name: part for part in fewflips.doctor().parts if part.kind == "tool"}
    assert tools["iverilog"].version == "Icarus 99.5"
    assert (tools["sta"].usable, tools["sta"].version) == (False, None)
    assert "OpenSTA" in tools["sta"].enables


def test_caches_are_counted_and_one_that_cannot_be_made_is_told(monkeypatch, tmp_path):
    (tmp_path / "netlists").mkdir()
    (tmp_path / "netlists" / "one").write_bytes(b"12345")
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path))
    cache = fewflips.doctor().caches[0]
    assert (cache.entries, cache.size_bytes, cache.writable, cache.advice) == (1, 5, True, "")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEWFLIPS_CACHE", str(tmp_path / "file" / "below"))
    cache = fewflips.doctor().caches[0]
    assert not cache.writable
    assert "FEWFLIPS_CACHE" in cache.advice


def test_the_command_prints_a_table_or_json(monkeypatch, capsys, report):
    assert run(monkeypatch, "doctor") == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "nothing-like-it: every command. pip install --upgrade 'nothing-like-it>=1.0'" in output
    assert "Something that is needed is MISSING." in output
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2.0"])
    assert run(monkeypatch, "doctor", "--json") == 0
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(capsys.readouterr().out))


def test_the_packages_own_requirements_are_read():
    needed = {part.name for part in fewflips.doctor().parts if part.kind == "needed"}
    assert {"numpy", "onnx", "click"} <= needed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_of_the_shell_and_parse(monkeypatch, capsys, shell):
    assert run(monkeypatch, "completion", shell) == 0
    script = capsys.readouterr().out
    assert f"_FEWFLIPS_COMPLETE={shell}_complete" in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed; its script was made, but not read by it")
    checked = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fewflips meas", {"measure"}),
        ("fewflips measure --accel", {"--accelerator"}),
        ("fewflips measure --accelerator edge1", {"edge16"}),
        ("fewflips optimize --steps schedule,drop", {"schedule,drop-in"}),
    ],
)
def test_bash_is_given_what_fits(monkeypatch, capsys, words, expected):
    monkeypatch.setenv("_FEWFLIPS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    run(monkeypatch)
    found = re.findall(r"^plain,(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert set(found) == expected
