"""Committed records of benchmarks can be read, and are made by commands that exist."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import pytest
from benchmarks.__main__ import RUNS
from benchmarks.record import RESULTS, add_json_option, read_record, write_record
from scripts.figures.mutation import MODULES, record_of
from scripts.mutation.code_digest import code_digest

from fewflips.errors import InputError

SOURCES = RESULTS.parents[1] / "src" / "fewflips"
NAMES = sorted(path.stem for path in RESULTS.glob("*.json"))


def test_every_record_is_made_by_a_run_and_every_run_has_its_record() -> None:
    assert sorted(RUNS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_how_it_was_made(name: str) -> None:
    record, run = read_record(name), RUNS[name]
    assert record.benchmark == run.benchmark
    assert f"python -m benchmarks.{run.benchmark}" in record.command
    assert all(option in record.command for option in run.options)
    assert not any(Path(word).is_absolute() for word in shlex.split(record.command))
    assert not any(Path(word).is_absolute() for word in run.command(name)[1:])
    assert record.rows


def test_every_benchmark_writes_its_record() -> None:
    others = {"__init__", "__main__", "record"}
    for path in RESULTS.parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.stem in others or f'write_record(arguments.json, "{path.stem}"' in text.replace(
            "args.", "arguments."
        )


def test_a_record_is_read_as_it_was_written(tmp_path, monkeypatch) -> None:
    parser = argparse.ArgumentParser()
    add_json_option(parser)
    path = parser.parse_args(["--json", str(tmp_path / "results" / "some.json")]).json
    rows = {"first": {"wall_s": 1.25, "flips": 3, "proven": True, "bound_mib": None}}
    write_record(path, "some", rows, seed=0)
    record = read_record("some", path.parent)
    assert (record.rows, record.seed, record.benchmark) == (rows, 0, "some")
    assert record.processor
    assert "numpy" in record.packages


def test_nothing_is_written_without_the_option(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(None, "some", {"first": {"wall_s": 1.0}})
    assert list(tmp_path.iterdir()) == []


def test_damaged_records_are_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="found no file"):
        read_record("none", tmp_path)
    (tmp_path / "some.json").write_text("{}")
    with pytest.raises(InputError, match=r"some.json: .*run `python -m benchmarks` again") as caught:
        read_record("some", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("module", MODULES)
def test_a_record_of_mutants_is_of_the_code_as_it_is(module: str) -> None:
    source = (SOURCES / f"{module}.py").read_text(encoding="utf-8")
    found = record_of(module)["code_sha256"]
    assert found == code_digest(source), f'run `make mutation MUTATION="{module} --output results/mutation"`'


def test_the_digest_of_code_leaves_out_what_no_mutant_changes() -> None:
    code = "import a\n\ndef f(x: int) -> int:\n    return x + 1\n"
    same = '"""Words."""\n\nfrom b import c\n\ndef f(x: str) -> str:\n    """More."""  # and more\n    return x + 1\n'
    assert code_digest(code) == code_digest(same)
    assert code_digest(code) != code_digest(code.replace("+ 1", "+ 2"))
