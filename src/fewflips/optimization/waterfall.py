"""From stages to a waterfall: flips and energy after each step, of the network and of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewflips.measurement.counting import LayerCount
from fewflips.optimization.pipeline import Run, Stage
from fewflips.records.energy import LayerEnergy
from fewflips.records.waterfall import Figures, WaterfallStage

if TYPE_CHECKING:
    from fewflips.simulation.comparison import VariantEnergies


def waterfall(run: Run, energies: VariantEnergies | None) -> tuple[WaterfallStage, ...]:
    """Figures of every stage.

    Parameters
    ----------
    run : Run
        The stages, counted.
    energies : VariantEnergies or None
        Energy of the stages, where it was simulated.

    Returns
    -------
    tuple of WaterfallStage
        The baseline first.
    """
    main = _main_line(run)
    return tuple(_stage(stage, stage.name in main, run, energies) for stage in run.stages)


def _main_line(run: Run) -> set[str]:
    """Names of the stage whose figures come first, and of those that it builds on."""
    starts = {stage.name: stage.start for stage in run.stages}
    names: set[str] = set()
    name: str | None = run.main.name
    while name is not None:
        names.add(name)
        name = starts[name]
    return names


def _stage(stage: Stage, main: bool, run: Run, energies: VariantEnergies | None) -> WaterfallStage:
    simulated: dict[str, LayerEnergy] = {}
    if energies is not None:
        simulated = dict(zip(energies.layers, energies.variants[stage.name], strict=True))
    names = [layer.name for layer in run.baseline.state.network.layers]
    counts = list(stage.counts.values())
    return WaterfallStage(
        name=stage.name,
        start=stage.start,
        main=main,
        total=_figures(counts, energies.totals[stage.name] if energies is not None else None),
        layers=tuple(_figures([count], simulated.get(name)) for name, count in zip(names, counts, strict=True)),
    )


def _figures(counts: Sequence[LayerCount], energy: LayerEnergy | None) -> Figures:
    live = [count.activations for count in counts if count.activations is not None]
    bill = energy.bill if energy is not None else None
    return Figures(
        weight_flips=sum(count.weights.within * count.weights.repeats for count in counts),
        weight_seam_flips=sum(count.weights.seams for count in counts),
        activation_flips=sum(port.within * port.repeats for port in live) if live else None,
        zero_delay_data_pj=energy.zero_delay.data_pj if energy is not None else None,
        inertial_data_pj=energy.inertial.data_pj if energy is not None else None,
        whole_pj=bill.whole_pj if bill is not None else None,
    )
