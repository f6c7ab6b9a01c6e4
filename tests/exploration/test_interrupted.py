"""Searches that are killed, interrupted or out of time go on where they were."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.exploration.spaces import TINY, small_model
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

SPACE = {
    **TINY,
    "vary": {"columns": [2, 3], "tiling.outputs": [None, 1, 2, 4], "orders": ["natural", "schedule"]},
}
"""Sixteen machines, of which eight differ in what toggles."""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return [
        *(sys.executable, "-m", "fewflips", "explore", str(small_model(tmp_path)), "--json", "--jobs", "1"),
        *("--space", str(tmp_path / "space.yaml"), "--store"),
    ]


def layers_in(store: Path) -> int:
    """Results of layers in a store."""
    if not store.exists():
        return 0
    try:
        with sqlite3.connect(store, timeout=PATIENCE_S) as connection:
            (count,) = connection.execute("SELECT count(*) FROM results WHERE key LIKE '%:%'").fetchone()
    except sqlite3.OperationalError:  # no table yet
        return 0
    return int(count)


def report_of(command: list[str], store: Path) -> dict:
    done = subprocess.run([*command, str(store)], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return json.loads(done.stdout)


def stopped_by(number: signal.Signals, command: list[str], store: Path) -> tuple[int, str, str]:
    """Run a command, send a signal when the first layer is there; its exit code and what it wrote."""
    process = subprocess.Popen([*command, str(store)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + PATIENCE_S
    while layers_in(store) == 0 and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.005)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def test_a_killed_search_goes_on_without_repeating_anything(command, tmp_path):
    whole = report_of(command, tmp_path / "whole.sqlite")
    store = tmp_path / "killed.sqlite"
    code, _, _ = stopped_by(signal.SIGKILL, command, store)
    assert code == -signal.SIGKILL
    there = layers_in(store)
    assert 0 < there < layers_in(tmp_path / "whole.sqlite")
    resumed = report_of(command, store)
    assert resumed["work"]["layers_simulated"] == whole["work"]["layers_simulated"] - there
    assert {**resumed, "work": None} == {**whole, "work": None}


def test_ctrl_c_shows_what_was_found(command, tmp_path):
    store = tmp_path / "interrupted.sqlite"
    code, out, err = stopped_by(signal.SIGINT, command, store)
    assert (code, err.strip()) == (130, "fewflips: interrupted; the same command goes on where it was")
    found = json.loads(out)
    assert not found["complete"]
    assert 0 < len(found["machines"]) <= 16
    assert found["front"]
    resumed = report_of(command, store)
    assert resumed["complete"]
    assert len(resumed["machines"]) == 16
