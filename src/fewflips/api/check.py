"""Checks whether any layer of a network got worse than a budget or an earlier report allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import hypot
from pathlib import Path

from fewflips.api.measure import measure
from fewflips.errors import InputError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.near_misses import did_you_mean
from fewflips.network import Network, load
from fewflips.progress import Progress
from fewflips.records.budget import Limits, NetworkBudget, read_budget
from fewflips.records.check import CheckReport, Excess
from fewflips.records.model_file import model_file
from fewflips.records.quantities import (
    QUANTITY_WORDS,
    AnyReport,
    NetworkQuantities,
    Outcome,
    Quantities,
    quantities_of,
    with_energy_of,
)
from fewflips.records.reading import read_report
from fewflips.simulation.run import EnergyOptions
from fewflips.version import __version__

_PER_MAC = {
    "weight_flips_per_mac": ("weight_flips", 1),
    "activation_flips_per_mac": ("activation_flips", 1),
    "estimated_fj_per_mac": ("estimated_pj", 1000),
    "data_fj_per_mac": ("data_pj", 1000),
}
"""Limits for each MAC: the quantity, and its unit in theirs."""
_ROUNDING_PERCENT = 1e-7
"""Energies may be summed in another order; flips are counted exactly."""
_AT_GATE_LEVEL = ("data_pj", "datapath_pj", "whole_pj")


@dataclass(frozen=True)
class _Limited:
    """Limits of every layer and of the network, `""`, and the quantities they are on; how far each is uncertain."""

    limits: Mapping[str, Mapping[str, float]]
    confidence: Mapping[str, float]
    gone: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names in a fixed order."""
        found = {name for limits in self.limits.values() for name in limits}
        return tuple(name for name in (*QUANTITY_WORDS, *_PER_MAC) if name in found)


def check(
    model: str | Path | Network,
    *,
    budget: NetworkBudget | str | Path | None = None,
    against: AnyReport | str | Path | None = None,
    outcome: Outcome = "before",
    accelerator: str | Path | Accelerator | None = None,
    inputs: str | Path | None = None,
    tolerance_percent: float = 0.0,
    energy: EnergyOptions | None = None,
    cells: str | Path = "nangate45",
    progress: Progress | None = None,
) -> CheckReport:
    """Measure a network as it is stored, and compare it with limits.

    Parameters
    ----------
    model : str, Path or Network
        The network.
    budget : NetworkBudget, str or Path, optional
        Limits, or a YAML or JSON file of them. Give either this or `against`.
    against : OptimizeReport, MeasureReport, EnergyReport, str or Path, optional
        An earlier report, or its file: each of its figures is a limit.
    outcome : {"before", "schedule", "drop-in"}
        Which figures of that report are the limits: as stored, of the schedule, or of the drop-in file.
    accelerator : str, Path or Accelerator, optional
        The machine. Default: the report's, or the budget's, or ``edge16``.
    inputs : str or Path, optional
        Sample inputs, for activations.
    tolerance_percent : float
        By how much a limit may be exceeded, in percent. Energies that are simulated on a sample of the cycles may
        also be above it by as much as their 95 % confidence intervals allow.
    energy : EnergyOptions, optional
        Also simulate energy at gate level.
    cells : str or Path
        Cells for that, as for :func:`fewflips.energy`.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    CheckReport
        What got worse, layer by layer.

    Raises
    ------
    FewflipsError
        If the network, the budget, the report or the machine cannot be used, they do not belong together, or a limit
        is on something that was not measured.

    Examples
    --------
    >>> report = fewflips.measure("shapes.onnx")
    >>> fewflips.check("shapes.onnx", against=report).passed
    True
    """
    if (budget is None) == (against is None):
        raise InputError("check: expected either a budget (--budget) or a report (--against), got both or neither")
    source = str(budget if against is None else against) if not _is_record(budget, against) else "(given)"
    limits = read_budget(budget) if isinstance(budget, str | Path) else budget
    report = read_report(against) if isinstance(against, str | Path) else against
    array = _machine(accelerator, limits, report, source)
    network = model if isinstance(model, Network) else load(model)
    found = _measured(network, array, inputs, energy, cells, progress)
    if limits is not None:
        limited = _limits_of_budget(limits, found, source)
    else:
        assert report is not None
        limited = _limits_of_report(report, outcome, found, source)
    worse = tuple(_worse(found, limited, tolerance_percent))
    return CheckReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=array,
        basis="budget" if limits is not None else "report",
        file=Path(source).name,
        outcome=None if limits is not None else outcome,
        tolerance_percent=tolerance_percent,
        passed=not worse,
        quantities=limited.quantities,
        layers=sum(bool(name and own) for name, own in limited.limits.items()),
        worse=worse,
        gone=limited.gone,
        added=limited.added,
        total=found.total,
    )


def _is_record(*sources: object) -> bool:
    return not any(isinstance(source, str | Path) for source in sources)


def _machine(
    given: str | Path | Accelerator | None, budget: NetworkBudget | None, report: AnyReport | None, source: str
) -> Accelerator:
    if report is None:
        return load_accelerator(given or (budget.accelerator if budget else None) or "edge16")
    if given is None:
        return report.accelerator
    array = load_accelerator(given)
    if array.model_copy(update=_named_alike(report.accelerator)) != report.accelerator:
        raise InputError(
            f"{source}: expected a report on the machine {array.name}, got one on {report.accelerator.name}, which "
            "differs; leave out --accelerator to use the report's"
        )
    return array


def _named_alike(other: Accelerator) -> dict[str, str]:
    return {"name": other.name, "description": other.description}


def _measured(
    network: Network,
    array: Accelerator,
    inputs: str | Path | None,
    options: EnergyOptions | None,
    cells: str | Path,
    progress: Progress | None,
) -> NetworkQuantities:
    found = quantities_of(measure(network, array, inputs=inputs, progress=progress))
    assert found is not None
    if options is None:
        return found
    from fewflips.api.energy import energy

    simulated = energy(network, array, inputs=inputs, cells=cells, options=options, progress=progress)
    return with_energy_of(found, simulated)


def _limits_of_report(report: AnyReport, outcome: Outcome, found: NetworkQuantities, source: str) -> _Limited:
    earlier = quantities_of(report, outcome)
    if earlier is None:
        raise InputError(
            f"{source}: expected a report with the outcome {outcome}, got one without; leave out --outcome"
        )
    common = [name for name in found.layers if name in earlier.layers]
    if not common:
        raise InputError(
            f"{source}: expected a report on a network with layers of the same names, got one on {report.model.file}"
        )
    pairs = {"": (earlier.total, found.total), **{name: (earlier.layers[name], found.layers[name]) for name in common}}
    limited = _Limited(
        limits={name: _known_to_both(*pair) for name, pair in pairs.items()},
        confidence=earlier.confidence,
        gone=tuple(name for name in earlier.layers if name not in found.layers),
        added=tuple(name for name in found.layers if name not in earlier.layers),
    )
    if not limited.quantities:
        raise InputError(f"{source}: has no figure in common with what was measured; give --energy, or --inputs")
    return limited


def _known_to_both(earlier: Quantities, now: Quantities) -> dict[str, float]:
    return {
        name: limit
        for name in QUANTITY_WORDS
        if (limit := getattr(earlier, name)) is not None and getattr(now, name) is not None
    }


def _limits_of_budget(budget: NetworkBudget, found: NetworkQuantities, source: str) -> _Limited:
    for pattern in budget.layers:
        if not any(_matches(name, pattern) for name in found.layers):
            raise InputError(
                f"{source}: layers: expected names or patterns of layers of the network, got {pattern!r}"
                f"{did_you_mean(pattern, found.layers)}"
            )
    limits = {"": _given(budget.network), **{name: _layer_limits(budget, name) for name in found.layers}}
    for name, own in limits.items():
        for quantity in own:
            if _figure(found, name, quantity) is None:
                raise InputError(f"{source}: {quantity} of {name or 'the network'} is not known: {_remedy(quantity)}")
    limited = _Limited(limits, {})
    if not limited.quantities:
        raise InputError(f"{source}: expected at least one limit, got none")
    return limited


def _layer_limits(budget: NetworkBudget, name: str) -> dict[str, float]:
    """Limits of one layer: those for every layer, then of patterns in the file's order, then of its name."""
    own = _given(budget.every_layer)
    for pattern, limits in budget.layers.items():
        if pattern != name and _matches(name, pattern):
            own.update(_given(limits))
    if name in budget.layers:
        own.update(_given(budget.layers[name]))
    return own


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _given(limits: Limits) -> dict[str, float]:
    return {name: limit for name, limit in limits.model_dump().items() if limit is not None}


def _remedy(quantity: str) -> str:
    of = _PER_MAC.get(quantity, (quantity, 1))[0]
    if of == "activation_flips":
        return "give sample inputs (--inputs)"
    if of in _AT_GATE_LEVEL:
        return "have it simulated (--energy), or leave the limit out"
    return "no calibration fits the machine and the network; leave the limit out, or give one on flips"


def _figure(found: NetworkQuantities, layer: str, quantity: str) -> float | None:
    own = found.layers[layer] if layer else found.total
    name, unit = _PER_MAC.get(quantity, (quantity, 1))
    value = getattr(own, name)
    if quantity not in _PER_MAC or value is None:
        return None if value is None else float(value)
    return float(value) * unit / own.macs if own.macs else 0.0


def _worse(found: NetworkQuantities, limited: _Limited, tolerance_percent: float) -> Iterator[Excess]:
    """What is above its limit, in the network's order; the network itself comes last."""
    for layer in (*found.layers, ""):
        for quantity, limit in limited.limits.get(layer, {}).items():
            value = _figure(found, layer, quantity)
            assert value is not None
            slack, of = tolerance_percent, _PER_MAC.get(quantity, (quantity, 1))[0]
            if of.endswith("_pj"):
                slack += _ROUNDING_PERCENT
            if of in _AT_GATE_LEVEL:
                slack += hypot(found.confidence.get(layer, 0.0), limited.confidence.get(layer, 0.0))
            if value > limit * (1 + slack / 100):
                yield Excess(layer=layer or None, quantity=quantity, value=value, limit=limit)
