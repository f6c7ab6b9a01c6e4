"""What each step of an optimization is worth, in the terms of tables and charts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fewflips.records.optimization import OptimizeReport
from fewflips.records.waterfall import Figures, WaterfallStage
from fewflips.report.numbers import ABSENT, as_energy, as_ratio, energy_ratio, energy_unit, si_unit, with_si_prefix
from fewflips.report.stage_words import evidence_words
from fewflips.visible import printable

MEANING = "Steps: change from the stage that the step starts from, in percent of the baseline."
NO_ENERGY = "Energy was not simulated: --energy shows what each step is worth in energy."


@dataclass(frozen=True)
class Measure:
    """What a waterfall is drawn in.

    Parameters
    ----------
    key : str
        For identifiers.
    title, short : str
        In words, and in few.
    value : callable
        The figure of a network or a layer; None where it is not known.
    shown : callable
        A figure as text; its second argument is the space between a figure and its unit.
    unit : callable
        The most readable unit for a figure: its size and its symbol.
    """

    key: str
    title: str
    short: str
    value: Callable[[Figures], float | None]
    shown: Callable[[float, str], str]
    unit: Callable[[float], tuple[float, str]] = energy_unit


@dataclass(frozen=True)
class Drop:
    """One step in one measure.

    Parameters
    ----------
    name : str
        The step's, printable.
    start : str or None
        The stage that the change counts from, printable; None for the baseline.
    before, after : float or None
        The figure of that stage, and of this one.
    change : float or None
        Their difference as a share of the baseline's figure; negative where the step helps.
    ratio : float or None
        The baseline's figure over this one.
    """

    name: str
    start: str | None
    before: float | None
    after: float | None
    change: float | None
    ratio: float | None


def _flips(number: float, space: str) -> str:
    return with_si_prefix(round(number), space)


_MEASURES = (
    Measure("weight-flips", "weight flips", "weight flips", lambda one: one.weight_flips, _flips, si_unit),
    Measure("activation-flips", "activation flips", "activ. flips", lambda one: one.activation_flips, _flips, si_unit),
    Measure("zero-delay", "data energy, zero delay", "data, zero delay", lambda one: one.zero_delay_data_pj, as_energy),
    Measure("inertial", "data energy with glitches", "data, inertial", lambda one: one.inertial_data_pj, as_energy),
    Measure("whole", "whole bill", "whole bill", lambda one: one.whole_pj, as_energy),
)


def measures(stages: tuple[WaterfallStage, ...]) -> list[Measure]:
    """Measures that are known for a network.

    Parameters
    ----------
    stages : tuple of WaterfallStage
        The baseline first.

    Returns
    -------
    list of Measure
        Weight flips first.
    """
    return [measure for measure in _MEASURES if all(measure.value(stage.total) is not None for stage in stages)]


def drops(stages: tuple[WaterfallStage, ...], measure: Measure, layer: int | None = None) -> list[Drop]:
    """What each step is worth.

    Parameters
    ----------
    stages : tuple of WaterfallStage
        The baseline first.
    measure : Measure
        What it is told in.
    layer : int, optional
        Number of a layer; the whole network by default.

    Returns
    -------
    list of Drop
        One for each stage; that of the baseline has no change.
    """
    values = {stage.name: measure.value(stage.total if layer is None else stage.layers[layer]) for stage in stages}
    baseline = values[stages[0].name]
    return [
        Drop(
            name=printable(stage.name),
            start=printable(stage.start) if stage.start is not None else None,
            before=(before := values[stage.start or stage.name]),
            after=(after := values[stage.name]),
            change=_share(before, after, baseline) if stage.start is not None else None,
            ratio=energy_ratio(baseline, after),
        )
        for stage in stages
    ]


def evidence_lines(report: OptimizeReport) -> list[tuple[str, str]]:
    """(Name of a step, why its result may be trusted), for each step.

    Parameters
    ----------
    report : OptimizeReport
        Result of ``fewflips optimize``.

    Returns
    -------
    list of (str, str)
        What the step claims and how it knows, then how this was checked; printable.
    """
    return [(printable(stage.name), evidence_words(stage)) for stage in report.stages[1:]]


def result(stages: tuple[WaterfallStage, ...]) -> int:
    """Number of the stage whose figures come first in reports."""
    return max(number for number, stage in enumerate(stages) if stage.main)


def remarks(stages: tuple[WaterfallStage, ...]) -> list[str]:
    """Sentences below a waterfall: what changes count from, which steps stand beside the others, what is missing.

    Parameters
    ----------
    stages : tuple of WaterfallStage
        The baseline first.

    Returns
    -------
    list of str
        Printable.
    """
    aside = [printable(stage.name) for stage in stages if not stage.main]
    last = printable(stages[result(stages)].name)
    sentences = [f"{MEANING} After, and baseline / after: with {last} and what it builds on."]
    sentences += [f"Not among these: {', '.join(aside)}."] if aside else []
    without_energy = all(stage.total.inertial_data_pj is None for stage in stages)
    return [*sentences, *([NO_ENERGY] if without_energy else [])]


def headings(stages: tuple[WaterfallStage, ...]) -> list[str]:
    """Headings of :func:`row`: the stages, then what their last one leaves."""
    return [*(printable(stage.name) for stage in stages), "after", "ratio"]


def row(stages: tuple[WaterfallStage, ...], measure: Measure, layer: int | None, sign: str, space: str) -> list[str]:
    """Figures of the network or of a layer in one measure.

    Parameters
    ----------
    stages : tuple of WaterfallStage
        The baseline first.
    measure : Measure
        What they are told in.
    layer : int or None
        Number of a layer; None for the whole network.
    sign, space : str
        What stands behind a factor, and between a figure and its unit.

    Returns
    -------
    list of str
        The baseline, the change of each step, what is left, and the baseline over it; dashes for what is not known.
    """
    steps = drops(stages, measure, layer)
    end = steps[result(stages)]

    def shown(value: float | None) -> str:
        return ABSENT if value is None else measure.shown(value, space)

    changes = [as_change(drop.change, space) for drop in steps[1:]]
    return [shown(steps[0].after), *changes, shown(end.after), as_ratio(end.ratio, sign)]


def as_change(change: float | None, space: str) -> str:
    """A change as a signed share of the baseline; a dash if there is none.

    Examples
    --------
    >>> as_change(-0.1234, " "), as_change(0.00021, " "), as_change(0.0, " ")
    ('-12.3 %', '+0.02 %', '0 %')
    """
    if change is None:
        return ABSENT
    digits = 2 if abs(change) < 0.01 else 1
    text = f"{change * 100:+.{digits}f}"
    return f"0{space}%" if float(text) == 0 else f"{text}{space}%"


def _share(before: float | None, after: float | None, baseline: float | None) -> float | None:
    if before is None or after is None or not baseline:
        return None
    return (after - before) / baseline
