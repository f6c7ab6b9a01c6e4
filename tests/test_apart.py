"""Long tasks in processes of their own."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from fewflips.errors import InputError, ToolError
from fewflips.parallel.apart import workers
from fewflips.parallel.processors import processors

several = pytest.mark.skipif(processors() < 2, reason="needs two processors, for processes apart from this one")


def doubled(number: int) -> int:
    return 2 * number


def refused(number: int) -> int:
    raise InputError(f"number {number} is refused")


def killed_once(folder: str, number: int) -> int:
    """Ends its own process the first time that it meets number 3."""
    marker = Path(folder) / "killed"
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def killed_always(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def run(function, count: int, jobs: int = 2) -> dict[int, int]:
    results: dict[int, int] = {}
    with workers(jobs) as running:
        running.run(function, range(count), results.__setitem__)
    return results


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_task_gives_its_result(jobs, count):
    assert run(doubled, count, jobs) == {number: 2 * number for number in range(count)}


@several
def test_a_killed_process_is_replaced(tmp_path):
    assert run(partial(killed_once, str(tmp_path)), 8) == {number: 2 * number for number in range(8)}
    assert (tmp_path / "killed").exists()


@several
def test_processes_that_die_again_and_again_are_given_up():
    with pytest.raises(ToolError, match="was ended 3 times, for lack of memory perhaps"):
        run(killed_always, 4)


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_arrive_whole(jobs):
    with pytest.raises(InputError, match="number 0 is refused"):
        run(refused, 1, jobs)


def test_what_the_caller_raises_ends_the_work():
    seen = []

    def stop(number: int, result: int) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), workers(2) as running:
        running.run(doubled, range(100), stop)
    assert len(seen) == 1
