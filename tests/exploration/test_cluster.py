"""A Dask cluster of real processes, some of which are killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewflips import ExploreOptions, explore
from fewflips.errors import ToolError
from fewflips.parallel import cluster
from tests.exploration.spaces import small_model, space
from tests.patience import PATIENCE_S
from tests.test_cli_gates import run

pytest.importorskip("distributed", reason="no Dask: install the extra cluster")

WIDE = {"columns": [2, 3], "tiling.outputs": [None, 1, 2, 4], "orders": ["natural", "schedule"]}


class Dask:
    """A scheduler and two workers with one thread each."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, []
        file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        give_up = time.monotonic() + PATIENCE_S
        while not (file.exists() and file.read_text().strip()):
            assert time.monotonic() < give_up, "the scheduler did not start"
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        self.workers = [self._start("worker", self.address, *options) for _ in range(2)]

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{what}{len(self._processes)}.log").open("wb")
        command = [sys.executable, "-c", "from dask.__main__ import main; main()", what, *arguments]
        self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self._processes[-1]

    def wait_for_workers(self) -> None:
        """Wait until both are there."""
        from distributed import Client

        with Client(self.address) as client:
            client.wait_for_workers(2, timeout=PATIENCE_S)

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.kill()
            process.wait(PATIENCE_S)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    started = Dask(tmp_path)
    try:
        started.wait_for_workers()
        yield started
    finally:
        started.close()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(dask, tmp_path):
    model, killed = small_model(tmp_path), []

    def kill_one(phase: str, done: int, total: int) -> None:
        if phase == "simulating machines" and done == total // 2 and not killed:
            dask.workers[0].kill()
            killed.append(done)

    options = ExploreOptions(store=tmp_path / "cluster.sqlite", cluster=dask.address)
    found = explore([model], space(vary=WIDE), options=options, progress=kill_one).report
    assert killed
    assert dask.workers[0].wait(PATIENCE_S) != 0
    assert dask.workers[1].poll() is None
    alone = explore([model], space(vary=WIDE), options=ExploreOptions(store=tmp_path / "alone.sqlite", jobs=1)).report
    assert found.complete
    assert (found.machines, found.front) == (alone.machines, alone.front)
    assert found.work.layers_simulated == alone.work.layers_simulated


@pytest.mark.slow
def test_without_workers_what_was_finished_is_kept(dask, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "WITHOUT_WORKERS_S", 2.0)
    model, store = small_model(tmp_path), tmp_path / "cluster.sqlite"

    def kill_all(phase: str, done: int, total: int) -> None:
        if phase == "simulating machines" and done == 2:
            for worker in dask.workers:
                worker.kill()

    with pytest.raises(ToolError, match=r"there was no worker for 2 s: .*what was finished is kept"):
        explore([model], space(vary=WIDE), options=ExploreOptions(store=store, cluster=dask.address), progress=kill_all)
    rest = explore([model], space(vary=WIDE), options=ExploreOptions(store=store, jobs=1)).report
    assert rest.complete
    assert rest.work.layers_found >= 2


def test_a_cluster_that_cannot_be_reached(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cluster, "REACH_S", 0.5)
    (tmp_path / "space.yaml").write_text("vary: {lanes: [2]}\n")
    arguments = ("--space", tmp_path / "space.yaml", "--store", tmp_path / "s.sqlite", "--cluster", "tcp://127.0.0.1:9")
    assert run(monkeypatch, "explore", small_model(tmp_path), *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fewflips: cluster tcp://127.0.0.1:9: expected a Dask scheduler, cannot be reached: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("address", ["nonsense://x", "", "tcp://no.such.host.invalid:8786"])
def test_addresses_that_are_none(monkeypatch, address):
    monkeypatch.setattr(cluster, "REACH_S", 0.5)
    with pytest.raises(ToolError, match="expected a Dask scheduler, cannot be reached"), cluster.on_cluster(address):
        pass
