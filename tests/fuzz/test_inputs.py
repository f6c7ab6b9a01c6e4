"""Every kind of input: its valid files are accepted, its inputs follow from their numbers, and they differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from scripts.fuzz.__main__ import main
from scripts.fuzz.kinds import KINDS, Files, Target, counts
from scripts.fuzz.outcome import Outcome, judge
from scripts.fuzz.reproduce import smaller
from scripts.fuzz.worker import Piece, input_of, write_files

from fewflips.files.cache import cache_folder
from tests.test_input_files import within_seconds

KEPT_FROM_ELSEWHERE = ("pareto-point", "cached-netlist")
"""What is damaged there is made again."""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Targets choose their own cache and number of threads; they are the tests' again afterwards."""
    monkeypatch.setenv("FEWFLIPS_CACHE", os.environ.get("FEWFLIPS_CACHE", str(cache_folder())))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind(tmp_path: Path, name: str) -> None:
    """One test a kind: to prepare one takes seconds."""
    (tmp_path / "prepared").mkdir()
    target = KINDS[name].prepare(tmp_path / "prepared")
    for files in target.valid():
        assert tried(target, tmp_path / "input", files).verdict == "accepted"
    inputs_follow_from_their_number(target, name)
    a_short_run(target, name, tmp_path / "input")


def tried(target: Target, folder: Path, files: Files) -> Outcome:
    write_files(folder, files)
    with within_seconds(60):
        return judge(lambda: target.run(folder))


def inputs_follow_from_their_number(target: Target, name: str) -> None:
    piece, other = Piece(KINDS[name], 0, 0, 0), Piece(KINDS[name], 1, 0, 0)
    inputs = [input_of(target, piece, i) for i in range(40)]
    assert inputs == [input_of(target, piece, i) for i in range(40)]
    assert inputs != [input_of(target, other, i) for i in range(40)]
    assert len({repr(files) for files in inputs}) > 30
    assert sum(files not in target.valid() for files in inputs) > 30


def a_short_run(target: Target, name: str, folder: Path) -> None:
    """In this process: no traceback, nothing on stderr, one line for what is refused."""
    piece, count = Piece(KINDS[name], 2, 0, 0), 100 if KINDS[name].share >= 0.5 else 5
    verdicts: dict[str, int] = {}
    for index in range(count):
        outcome = tried(target, folder, input_of(target, piece, index))
        assert not outcome.is_finding, f"--seed 2 --reproduce {name}:{index}: {outcome}"
        verdicts[outcome.verdict] = verdicts.get(outcome.verdict, 0) + 1
    assert ("refused" in verdicts) == (name not in KEPT_FROM_ELSEWHERE)


def test_all_inputs_are_shared_among_the_kinds() -> None:
    for inputs in (30, 3000, 10**6):
        shared = counts(list(KINDS), inputs)
        assert sum(shared.values()) == max(inputs, len(KINDS))
        assert min(shared.values()) >= 1


def test_a_record_goes_on_where_it_was_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "record.json"
    words = ["--inputs", "60", "--kinds", "accelerator", "samples", "--json", str(record)]
    assert main(words) == 0
    whole = json.loads(record.read_bytes())
    assert sum(row["inputs"] for row in whole["kinds"]) == 60
    cut = whole | {"pieces": whole["pieces"][:1]}
    record.write_text(json.dumps(cut))
    assert main(words) == 0
    again = json.loads(record.read_bytes())
    assert [[row[name] for name in ("inputs", "accepted", "refused")] for row in again["kinds"]] == [
        [row[name] for name in ("inputs", "accepted", "refused")] for row in whole["kinds"]
    ]
    record.write_text(json.dumps(whole | {"tree": "another"}))
    capsys.readouterr()
    assert main(words) == 2
    assert "expected a record of this run and this code" in capsys.readouterr().err


def test_an_input_is_found_again_by_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept"
    assert main(["--reproduce", "accelerator:3", "--keep", str(kept)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("accelerator:3: ")
    (tmp_path / "prepared").mkdir()
    target = KINDS["accelerator"].prepare(tmp_path / "prepared")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == input_of(
        target, Piece(KINDS["accelerator"], 0, 0, 0), 3
    )


def test_numbers_of_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--reproduce", "nothing:1"]) == 2
    assert "--reproduce: expected KIND:INDEX with one of tflite," in capsys.readouterr().err
    assert main(["--kinds", "tflite", "pdf"]) == 2
    assert capsys.readouterr().err.endswith("got pdf\n")


def test_an_input_is_made_small() -> None:
    files = {"a": bytes(1000) + b"fault" + bytes(500), "b": b"text"}
    assert smaller(files, lambda shorter: b"fault" in shorter["a"]) == {"a": b"fault", "b": b""}
