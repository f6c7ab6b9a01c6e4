"""Sets two or more reports beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fewflips.errors import InputError
from fewflips.records.comparison import ComparedLayer, ComparedRun, ComparisonReport
from fewflips.records.optimization import OptimizeReport
from fewflips.records.quantities import AnyReport, NetworkQuantities, main_outcome, quantities_of
from fewflips.records.reading import read_report
from fewflips.version import __version__
from fewflips.visible import printable


def compare(*reports: AnyReport | str | Path, labels: Sequence[str] | None = None) -> ComparisonReport:
    """Compare the outcomes of several runs, in all and by layer.

    Parameters
    ----------
    *reports : OptimizeReport, MeasureReport, EnergyReport, str or Path
        Two or more reports, or their files; the others are compared with the first. A folder stands for the
        ``report.json`` in it. Of an optimization the schedule's figures are compared if it made one, otherwise those
        of the drop-in file.
    labels : sequence of str, optional
        What to call each of them. Default: the file's name, or that of its folder for a ``report.json``.

    Returns
    -------
    ComparisonReport
        Flips and energy of every run; layers are told apart by name.

    Raises
    ------
    InputError
        If there are fewer than two, one cannot be read, or the labels do not fit.

    Examples
    --------
    >>> reports = [fewflips.measure("shapes.onnx", machine) for machine in ("edge16", "edge4")]
    >>> [run.label for run in fewflips.compare(*reports, labels=["wide", "narrow"]).runs]
    ['wide', 'narrow']
    """
    if len(reports) < 2:
        raise InputError(f"compare: expected two or more reports, got {len(reports)}")
    if labels is not None and (len(labels) != len(reports) or len(set(labels)) != len(labels)):
        raise InputError(f"labels: expected {len(reports)} different ones, got {', '.join(labels)}")
    read = [read_report(report) if isinstance(report, str | Path) else report for report in reports]
    names = list(labels) if labels is not None else _labels(reports, read)
    found = [_main(report) for report in read]
    layers = dict.fromkeys(name for quantities in found for name in quantities.layers)
    return ComparisonReport(
        fewflips=__version__,
        runs=tuple(_run(*parts) for parts in zip(names, read, found, strict=True)),
        layers=tuple(
            ComparedLayer(name=name, runs=tuple(quantities.layers.get(name) for quantities in found)) for name in layers
        ),
        notes=tuple(_notes(read, found, names)),
    )


def _main(report: AnyReport) -> NetworkQuantities:
    found = quantities_of(report, main_outcome(report))
    assert found is not None  # an outcome that the report has
    return found


def _run(label: str, report: AnyReport, found: NetworkQuantities) -> ComparedRun:
    stored = quantities_of(report)
    assert stored is not None  # every report knows the network as stored
    return ComparedRun(
        label=label,
        model=report.model,
        accelerator=report.accelerator.name,
        outcome=main_outcome(report),
        before=stored.total,
        compared=found.total,
        command=report.settings.command if isinstance(report, OptimizeReport) else None,
    )


def _labels(given: Sequence[AnyReport | str | Path], read: Sequence[AnyReport]) -> list[str]:
    """Names of files or models; those that would be alike are numbered."""
    names = [_label(source, report) for source, report in zip(given, read, strict=True)]
    counts = Counter(names)
    return [f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(names, start=1)]


def _label(source: AnyReport | str | Path, report: AnyReport) -> str:
    if not isinstance(source, str | Path):
        return report.model.file
    path = Path(source)
    return printable((path.absolute().parent.name if path.name == "report.json" else path.stem) or path.name)


def _notes(read: Sequence[AnyReport], found: Sequence[NetworkQuantities], names: Sequence[str]) -> list[str]:
    notes = []
    for report, quantities, name in zip(read[1:], found[1:], names[1:], strict=True):
        if report.accelerator != read[0].accelerator:
            notes.append(f"{name} is on another machine than {names[0]}.")
        if report.model.sha256 != read[0].model.sha256:
            notes.append(f"{name} is of another model file than {names[0]}.")
        unlike = len(set(quantities.layers) ^ set(found[0].layers))
        if unlike:
            notes.append(f"{unlike} layers are in {name} or in {names[0]} alone.")
    return notes
