"""The audit's tables, in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from scripts.reproduction.tables import table

from .figures import Audit, OrderFigures, PairedFigures, Run
from .memory import microjoules
from .setups import BASELINES, OTHER_MACHINES, UNITS_AND_CELLS, Question, Setup, Variant, questions

_PJ_PER_UJ = 1e6


@dataclass(frozen=True)
class Answer:
    """The figures of a question.

    Parameters
    ----------
    before, after : Run
        The networks on the setup.
    first, second : OrderFigures
        In the orders that are compared.
    """

    before: Run
    after: Run
    first: OrderFigures
    second: OrderFigures

    @property
    def ratios(self) -> list[float]:
        """Ratio of the data energies of each layer, before to after."""
        return [old / new for old, new in zip(self.first.layer_data_pj, self.second.layer_data_pj, strict=True)]

    @property
    def mean(self) -> float:
        """Mean of the layers' ratios."""
        return fmean(self.ratios)

    @property
    def network(self) -> float:
        """Ratio of the totals."""
        return self.first.data_pj / self.second.data_pj

    @property
    def best(self) -> float:
        """Ratio of the layer that saves most."""
        return max(self.ratios)

    @property
    def with_buffers(self) -> tuple[float, float]:
        """Data energy and that of all accesses of the buffers, in microjoules."""
        return _with_buffers(self.first), _with_buffers(self.second)


def answer(found: Audit, question: Question) -> Answer:
    """The figures that answer a question."""
    before, after = (_run(found, variant, question.setup) for variant in (question.before, question.after))
    return Answer(before, after, before.orders[question.before.order], after.orders[question.after.order])


def baseline_table(found: Audit) -> str:
    """What the HD-trained networks are compared with."""
    header = [
        "HD-trained, scheduled, against",
        "accuracy, %",
        "points",
        "data, uJ",
        "mean of layers",
        "network",
        "best layer",
    ]
    percent = {one.network: one.percent for one in found.accuracies}
    points = {(one.before, one.after): one for one in found.paired}
    rows = []
    for question in _of(BASELINES):
        got = answer(found, question)
        change = points[question.before.network, question.after.network]
        rows.append(
            (
                question.label,
                f"{percent[question.before.network]:.2f}",
                _with_error(change),
                f"{got.first.data_pj / _PJ_PER_UJ:.2f}",
                f"{got.mean:.2f}x",
                f"{got.network:.2f}x",
                f"{got.best:.2f}x",
            )
        )
    return table(header, rows)


def unit_table(found: Audit) -> str:
    """The pair of seed 0 in other cells and units."""
    header = ["cells, unit", "cells of a column", "baseline, uJ", "both, uJ", "mean of layers", "network", "best layer"]
    rows = []
    for question in _of(UNITS_AND_CELLS):
        got = answer(found, question)
        rows.append((question.label, str(got.before.netlist_cells), *_energies(got), *_factors(got)))
    return table(header, rows)


def machine_table(found: Audit) -> str:
    """The pair of seed 0 on other machines, without and with the energy of the buffers."""
    header = ["machine", "baseline, uJ", "both, uJ", "mean of layers", "network", "best layer"]
    header += [
        "buffers, uJ: baseline",
        "both",
        "of it partial sums",
        "of it indices",
        "with buffers",
        "index table, KiB",
    ]
    rows = []
    for question in _of(OTHER_MACHINES):
        got = answer(found, question)
        sums = [microjoules(sum(one.traffic_bits.values())) for one in (got.first, got.second)]
        before, after = got.with_buffers
        rows.append(
            (
                f"`{question.label}`",
                *_energies(got),
                *_factors(got),
                *(f"{one:.1f}" for one in sums),
                f"{microjoules(got.second.traffic_bits['partial_sums']):.1f}",
                f"{microjoules(got.second.traffic_bits['indices']):.1f}",
                f"{before / after:.2f}x",
                f"{got.after.index_table_bits / 8 / 1024:.0f}",
            )
        )
    return table(header, rows)


def weight_table(found: Audit) -> str:
    """Zeros and entropy of each network's weights."""
    percent = {one.network: one.percent for one in found.accuracies}
    header = ["network", "accuracy, %", "weights, KiB", "zeros", "entropy of a code, bits"]
    return table(
        header,
        [
            (
                f"`{one.network}`",
                f"{percent[one.network]:.2f}",
                f"{one.parameters * one.weight_bits / 8 / 1024:.0f}",
                f"{100 * one.zero_share:.0f} %",
                f"{one.entropy_bits:.1f}",
            )
            for one in found.weights
        ],
    )


def prediction_table(found: Audit) -> str:
    """Estimates from flips against simulation, on every machine."""
    header = ["machine", "network", "order", "total", "layers, median", "worst layer"]
    return table(
        header,
        [
            (
                f"`{one.machine}`",
                f"`{one.network}`",
                one.order,
                f"{one.total_error_percent:+.1f} %",
                f"{one.median_error_percent:.1f} %",
                f"{one.worst_error_percent:+.0f} %",
            )
            for one in found.predictions
            if one.network.startswith(("baseline", "hamming"))
        ],
    )


def _of(section: str) -> list[Question]:
    return [question for question in questions() if question.section == section]


def _run(found: Audit, variant: Variant, setup: Setup) -> Run:
    wanted = (variant.network, variant.weight_bits, setup.machine, setup.cells, setup.unit)
    return next(run for run in found.runs if _key(run) == wanted)


def _key(run: Run) -> tuple[str, int | None, str, str, str | None]:
    return run.network, run.weight_bits, run.machine, run.cells, run.unit


def _with_buffers(figures: OrderFigures) -> float:
    return figures.data_pj / _PJ_PER_UJ + microjoules(sum(figures.traffic_bits.values()))


def _energies(got: Answer) -> tuple[str, str]:
    return f"{got.first.data_pj / _PJ_PER_UJ:.2f}", f"{got.second.data_pj / _PJ_PER_UJ:.2f}"


def _factors(got: Answer) -> tuple[str, str, str]:
    return f"{got.mean:.2f}x", f"{got.network:.2f}x", f"{got.best:.2f}x"


def _with_error(change: PairedFigures) -> str:
    return f"{change.points:+.2f} ± {change.standard_error:.2f}"
