"""The stages of an optimization in words."""

from __future__ import annotations

from dataclasses import dataclass

from fewflips.records.optimization import BASELINE, Check, OptimizeReport, StageEvidence, StageRecord
from fewflips.report.numbers import as_energy, as_figure, comparison
from fewflips.visible import printable

_IN_THE_TABLES = frozenset({BASELINE, "schedule", "drop-in"})
"""Stages whose figures every table has in columns of their own."""


@dataclass(frozen=True)
class StageWords:
    """What a report says about one stage.

    Parameters
    ----------
    name : str
        The step's, printable.
    words : str
        What became of the flips, and of the energy where it was simulated.
    evidence : str
        How far outputs may have moved, and since which stage.
    """

    name: str
    words: str
    evidence: str


def other_stages(report: OptimizeReport, sign: str, space: str) -> list[StageWords]:
    """Every stage after the baseline, where one of them is not in the tables.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.
    sign, space : str
        What stands behind a factor, and between a figure and its unit.

    Returns
    -------
    list of StageWords
        Empty for the steps that a mode stands for, each from the network as stored: the tables say all about them.
    """
    if all(stage.name in _IN_THE_TABLES and stage.start in (None, BASELINE) for stage in report.stages):
        return []
    return [
        StageWords(printable(stage.name), _changes(stage, report.stages[0], sign, space), _evidence(stage))
        for stage in report.stages[1:]
    ]


def stage_lines(report: OptimizeReport, sign: str, space: str) -> list[str]:
    """:func:`other_stages`, each in one line."""
    return [f"Stage {stage.name}: {stage.words} ({stage.evidence})." for stage in other_stages(report, sign, space)]


def main_result(report: OptimizeReport) -> str:
    """What the first figures of a report are of: the schedule, the drop-in file, or a step that gives neither."""
    if report.schedule is not None:
        return "schedule"
    if report.drop_in is not None or not report.stages:
        return "drop-in file"
    rewritten = [stage for stage in report.stages if stage.model_check is not None]
    return f"step {printable((rewritten or report.stages)[-1].name)}"


def other_checks(report: OptimizeReport) -> list[tuple[str, str, Check]]:
    """(Stage, file, how it was checked) of a written model that is no drop-in file."""
    if report.drop_in is not None:
        return []
    return [
        (printable(stage.name), stage.files[0], stage.model_check)
        for stage in report.stages
        if stage.files and stage.model_check is not None
    ]


def _changes(stage: StageRecord, baseline: StageRecord, sign: str, space: str) -> str:
    ports = ((stage.totals.weights, "weight flips"), (stage.totals.activations, "activation flips"))
    words = [
        comparison(port.baseline_flips, port.optimized_flips, what, sign) for port, what in ports if port is not None
    ]
    if stage.energy is not None and baseline.energy is not None:
        before, after = (one.inertial.data_pj for one in (baseline.energy, stage.energy))
        words.append(f"data energy {as_energy(before, space)} to {as_energy(after, space)}")
    return ", ".join(words)


def _evidence(stage: StageRecord) -> str:
    return f"{_bound(stage.evidence)} since {printable(stage.start or '')}"


def evidence_words(stage: StageRecord) -> str:
    """Why a stage may be trusted: what its step claims and how it knows, then how this was checked.

    Parameters
    ----------
    stage : StageRecord
        A stage after the baseline.

    Returns
    -------
    str
        One or two sentences, printable.
    """
    words = [f"{_evidence(stage)}: {printable(stage.evidence.method)}"]
    words += [f"checked: {printable(check.method)}" for check in (stage.model_check, stage.order_check) if check]
    return "; ".join(sentence.rstrip(".") for sentence in words) + "."


def _bound(evidence: StageEvidence) -> str:
    if evidence.bound is None:
        return "exact"
    return f"outputs within {as_figure(evidence.bound)} {printable(evidence.unit)}".rstrip()
