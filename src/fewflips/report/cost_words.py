"""What a report says about the cost of transitions that orders were chosen by."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.records.optimization import OptimizeReport
from fewflips.records.transition_cost import WeightCosts
from fewflips.report.numbers import above_bound, as_percent
from fewflips.visible import printable


@dataclass(frozen=True)
class CostWords:
    """What a report says about the cost after one step.

    Parameters
    ----------
    name : str
        The stage's, printable.
    words : str
        What became of the cost.
    proof : str
        Its distance from the lower bound; empty where none is known.
    """

    name: str
    words: str
    proof: str


def chosen_by(report: OptimizeReport) -> str:
    """What orders were chosen by, in a sentence; empty where it was flips.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    str
        A sentence.
    """
    if report.cost is None:
        return ""
    kind = "costs of each bit's flips" if report.cost.bit_costs is not None else "costs of the steps between two codes"
    source = f" in {printable(report.cost.source)}" if report.cost.source is not None else ""
    if is_measured(report.cost.source):
        kind, source = "energy of the steps between two codes, measured in the machine's unit with glitches", ""
    return f"Orders were chosen by the {kind}{source}; tables count flips, of which no bound is known then."


def is_measured(source: str | None) -> bool:
    """Whether a report's source of costs says that they were measured, with which cells or not."""
    return source is not None and source.partition(":")[0] == "energy"


def stage_costs(report: OptimizeReport, sign: str, space: str) -> list[CostWords]:
    """The cost after each step, and its distance from the bound.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.
    sign, space : str
        What stands behind a factor, and between a figure and its unit.

    Returns
    -------
    list of CostWords
        One for each stage after the baseline; none where orders were chosen by flips.
    """
    if report.cost is None:
        return []
    return [
        CostWords(printable(stage.name), _change(stage.total, sign), _proof(stage.total, space))
        for stage in report.cost.stages[1:]
    ]


def cost_headline(report: OptimizeReport, sign: str, space: str) -> str:
    """:func:`stage_costs` in one line; empty where orders were chosen by flips."""
    stages = [
        ", ".join(filter(None, (f"{stage.name}: {stage.words}", stage.proof)))
        for stage in stage_costs(report, sign, space)
    ]
    return "; ".join(stages)


def _change(costs: WeightCosts, sign: str) -> str:
    """What the weights cost after a step, compared with before."""
    before, after = costs.baseline, costs.optimized
    if not after:
        return "transitions of weights cost nothing"
    if before and abs(before / after - 1) < 0.005:
        return "transitions of weights cost as much as before"
    ratio = f"{before / after:.2f}{sign} less" if before > after else f"{after / max(before, 1):.2f}{sign} more"
    return f"transitions of weights cost {ratio}"


def _proof(costs: WeightCosts, space: str) -> str:
    gap = above_bound(costs.optimized, costs.lower_bound)
    if gap is None:
        return ""
    proven = f"{costs.proven_segments} of {costs.segments} segments proven cheapest"
    return f"{as_percent(gap, space)} above the lower bound, {proven}"
