"""The table of the documentation is that of the record beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts.fuzz import page
from scripts.fuzz.campaign import Tally
from scripts.fuzz.findings import Finding
from scripts.fuzz.kinds import KINDS
from scripts.fuzz.record import Record, table
from scripts.fuzz.worker import Piece

from fewflips.errors import InputError


@pytest.mark.parametrize("place", [page.RECORD, page.LATER])
def test_the_page_shows_the_record(place: Path) -> None:
    record = Record.read(place)
    assert record.is_complete
    assert page.block(record, place) in page.PAGE.read_text(encoding="utf-8")


def test_every_kind_that_there_is_has_been_run() -> None:
    planned = [set(Record.read(place).planned) for place in (page.RECORD, page.LATER)]
    assert set().union(*planned) == set(KINDS)


@pytest.mark.parametrize("place", [page.RECORD, page.LATER])
def test_the_record_adds_up(place: Path) -> None:
    """Every input is accepted, refused or a finding."""
    record = Record.read(place)
    for kind, tally in record.tallies().items():
        assert tally.inputs == record.planned[kind]
        assert tally.inputs == tally.accepted + tally.refused + tally.findings + tally.not_reproduced
        assert tally.peak_mib <= 2 * tally.valid_mib or tally.findings + tally.not_reproduced
    assert not record.findings


def test_a_run_that_was_cut_off_has_no_table(tmp_path: Path) -> None:
    content = json.loads(page.RECORD.read_bytes())
    (tmp_path / "cut.json").write_text(json.dumps(content | {"pieces": content["pieces"][1:]}))
    with pytest.raises(InputError, match="expected the record of a whole run, got one that was cut off"):
        page.write_page(tmp_path / "cut.json")


def test_findings_are_no_markup() -> None:
    """What libraries say of hostile files is part of a signature."""
    record = Record(0, {"spef": 1}, "tree")
    finding = Finding("spef", 0, 0, "stderr", "stderr: <script>`x`\x1b[31m [a](http://b)", "")
    record.add(Piece(KINDS["spef"], 0, 0, 1), Tally(inputs=1, findings=1), [finding])
    expected = "- `spef:0` (1 inputs): stderr: `` stderr: <script>`x`?[31m [a](http://b) ``"
    assert table(record).splitlines()[-1].replace("\ufffd", "?") == expected
