"""Searches that end before they are through: after a time, or at Ctrl-C. What they have is kept."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fewflips
from fewflips.cli import main
from fewflips.errors import InputError
from fewflips.optimization import Context, Outcome, State, register_step
from fewflips.optimization.registration import STEPS
from fewflips.ordering import Effort, order_distances, order_segments
from fewflips.parallel.limit import Limit
from fewflips.simulation.run import EnergyOptions
from tests.network import build_tflite
from tests.network.build_tflite import CONV, TFLiteBuilder
from tests.steps.toy_steps import Backwards, SortedWords


def words(rows: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, 4), dtype=np.uint8)


def flips(rows: NDArray[np.uint8]) -> int:
    steps = pairwise(rows.tolist())
    return sum((a ^ b).bit_count() for one, two in steps for a, b in zip(one, two, strict=True))


class After:
    """Says that it is enough from the n-th call on."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_search_that_ends_early_has_a_path_and_a_bound():
    rows = words(40)
    whole = order_segments([rows], effort=Effort.prove())[0]
    assert whole.proven
    lengths, bounds = [], []
    for calls in range(60):
        counter = After(calls)
        (result,) = order_segments([rows], effort=Effort.prove(), enough=counter)
        assert sorted(result.order.tolist()) == list(range(40))
        assert flips(rows[result.order]) == result.flips
        assert result.lower_bound <= whole.flips <= result.flips
        lengths.append(result.flips)
        bounds.append(result.lower_bound)
        if counter.left >= 0:
            break
    assert lengths == sorted(lengths, reverse=True)
    assert bounds == sorted(bounds)
    assert len(lengths) > 3
    assert lengths[0] > lengths[-1] == whole.flips
    assert bounds[0] < bounds[-1] == whole.lower_bound
    (greedy,) = order_segments([rows], effort=Effort.default(), enough=lambda: True)
    assert greedy.flips == lengths[0]


def test_matrices_and_many_segments_end_early_as_well():
    rows = words(50, 1)
    distances = np.bitwise_count(rows[:, None] ^ rows[None]).sum(2)
    (early,) = order_distances([distances], enough=lambda: True)
    (whole,) = order_distances([distances])
    assert early.flips > whole.flips
    assert flips(rows[early.order]) == early.flips
    endless = Effort(10**6, 50, 1000, 0, 8, 0, 0)
    limit = Limit(0.3)
    begin = time.monotonic()
    results = order_segments([words(200, seed) for seed in range(6)], effort=endless, jobs=2, enough=limit)
    assert len(results) == 6
    assert time.monotonic() - begin < 60  # a search without end, otherwise
    assert limit.cut_short


def test_a_limit_that_is_not_reached_changes_nothing():
    segments = [words(30, seed) for seed in range(3)]
    limit = Limit(10**6)
    for one, two in zip(order_segments(segments, enough=limit), order_segments(segments), strict=True):
        assert one.order.tolist() == two.order.tolist()
        assert (one.flips, one.lower_bound) == (two.flips, two.lower_bound)
    assert not limit.cut_short


def test_time():
    assert Limit().remaining_s == math.inf
    limit = Limit(100)
    assert 90 < limit.remaining_s <= 100
    assert 80 < pickle.loads(pickle.dumps(limit)).remaining_s <= 100
    assert pickle.loads(pickle.dumps(Limit())).remaining_s == math.inf
    limit.ask()
    assert (limit.remaining_s, limit.cut_short, limit(), limit.cut_short) == (0, False, True, True)
    assert pickle.loads(pickle.dumps(limit))()
    short = Limit(1e-9)
    time.sleep(0.01)
    assert (short(), short.asked) == (True, False)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_times_that_are_none(seconds: float):
    with pytest.raises(InputError, match="limit of searches: expected a positive number of seconds, got"):
        Limit(seconds)


def test_the_first_interrupt_is_a_wish_and_the_second_is_one():
    seen = []
    limit = Limit(noticed=lambda: seen.append("noticed"))
    before = signal.getsignal(signal.SIGINT)
    with limit.on_interrupt():
        signal.raise_signal(signal.SIGINT)
        assert limit.asked
        assert seen == ["noticed"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_ignored_stays_so_and_other_threads_change_nothing():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = Limit()
    try:
        with limit.on_interrupt():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    handlers = []

    def elsewhere() -> None:
        with limit.on_interrupt():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [before]
    assert not limit.asked


class Interrupting(SortedWords):
    """Somebody presses Ctrl-C while it searches."""

    name = "interrupting"

    def apply(self, state: State, context: Context) -> Outcome:
        os.kill(os.getpid(), signal.SIGINT)
        assert context.limit()
        return super().apply(state, context)


@pytest.fixture(autouse=True)
def _registered():
    for step in (Interrupting, Backwards):
        register_step(step)
    yield
    for step in (Interrupting, Backwards):
        STEPS.unregister(step.name)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "branching.tflite"
    path.write_bytes(build_tflite.branching())
    return path


def test_time_is_up_before_the_second_step(model: Path, tmp_path: Path):
    result = fewflips.optimize(model, "edge4", mode="both", limit=Limit(1e-6), jobs=1)
    assert [stage.name for stage in result.report.stages] == ["baseline", "schedule"]
    (note,) = (note for note in result.report.notes if "Searches" in note)
    assert note == (
        "Searches ended with the best that they had, since their time of 1e-06 s was up; steps not begun by then, and "
        "not applied: drop-in."
    )
    assert not result.interrupted
    assert "--search-limit 1e-06" in result.report.settings.command
    whole = fewflips.optimize(model, "edge4", mode="schedule", jobs=1)
    after, best = (one.report.totals.weights for one in (result, whole))
    assert best.optimized_flips <= after.optimized_flips <= after.baseline_flips
    assert after.lower_bound <= best.optimized_flips
    assert after.proven_segments <= best.proven_segments
    result.save(tmp_path / "out")
    assert fewflips.verify(model, tmp_path / "out" / "schedule.json").check.passed


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Two layers with more channels than can be ordered exactly at once."""
    build = TFLiteBuilder(0)
    image = build.tensor("image", (1, 4, 4, 8), "INT8", None, 0.05, 3)
    first = build.weighted(CONV, image, "first", (1, 4, 4, 40), (40, 1, 1, 8))
    second = build.weighted(CONV, first, "second", (1, 4, 4, 24), (24, 1, 1, 40))
    (tmp_path / "wide.tflite").write_bytes(build.build([image], [second]))
    return tmp_path / "wide.tflite"


@pytest.mark.parametrize("accelerator", ["edge4", "tpu16"])
def test_each_search_of_the_package_ends_early(wide: Path, accelerator: str):
    """The drop-in's as well, and bounds of several chains."""
    for mode in ("schedule", "drop-in"):
        report = fewflips.optimize(wide, accelerator, mode=mode, limit=Limit(1e-6), jobs=1).report
        whole = fewflips.optimize(wide, accelerator, mode=mode, jobs=1).report
        assert report.totals.weights.lower_bound < whole.totals.weights.lower_bound
        assert report.totals.weights.optimized_flips >= whole.totals.weights.lower_bound


def test_channels_are_ordered_within_the_limit(wide: Path):
    early, whole = (
        fewflips.optimize(wide, "edge4", mode="drop-in", limit=limit, jobs=1).run.stages[1].channels.certificates
        for limit in (Limit(1e-6), None)
    )
    assert early.keys() == whole.keys() != set()
    for group, certificate in early.items():
        assert certificate.lower_bound < whole[group].lower_bound
        assert certificate.flips >= whole[group].lower_bound


def test_without_a_limit_an_interrupt_is_one(model: Path):
    with pytest.raises(KeyboardInterrupt):
        fewflips.optimize(model, "edge4", steps=["interrupting"], jobs=1)


def test_an_interrupt_keeps_what_was_found(model: Path):
    energy = fewflips.EnergyRequest(options=EnergyOptions(share=0.01))
    steps = ["interrupting", "backwards"]
    result = fewflips.optimize(model, "edge4", steps=steps, limit=Limit(), energy=energy, jobs=1)
    assert result.interrupted
    assert [stage.name for stage in result.report.stages] == ["baseline", "interrupting"]
    assert result.report.stages[1].order_check.passed
    assert result.report.energy is None
    notes = " ".join(result.report.notes)
    assert "had, since the user interrupted; steps not begun by then, and not applied: backwards." in notes
    assert "Energy was not simulated, since the user interrupted." in notes


def test_an_interrupt_of_the_simulation_leaves_out_energy(model: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fewflips.simulation.comparison.simulate_variants", interrupted)
    optimize: Callable[..., fewflips.Optimization] = fewflips.optimize
    result = optimize(model, "edge4", mode="schedule", limit=Limit(), energy=fewflips.EnergyRequest(), jobs=1)
    assert result.interrupted
    assert "Energy was not simulated, since the user interrupted." in result.report.notes
    with pytest.raises(KeyboardInterrupt):
        optimize(model, "edge4", mode="schedule", energy=fewflips.EnergyRequest(), jobs=1)


def test_the_command_line_writes_what_was_found(monkeypatch: pytest.MonkeyPatch, capsys, model: Path, tmp_path: Path):
    out = tmp_path / "out"
    arguments = ["optimize", str(model), "--accelerator", "edge4", "--output", str(out), "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["fewflips", *arguments, "--steps", "interrupting,backwards"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    printed = capsys.readouterr()
    assert printed.err == "fewflips: interrupted; the results are what was found by then\n"
    assert "wrote " in printed.out
    assert "since the user interrupted" in " ".join(json.loads((out / "report.json").read_text())["notes"])
    assert fewflips.verify(model, out / "schedule.json").check.passed
