"""Prepares the simulation of a network's energy: unit, layers, samples and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewflips.buffers import check_layers
from fewflips.dataflows import dataflow_of
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.errors import ModelError
from fewflips.execution.activations import measurable_layers, read_samples
from fewflips.execution.drawn_activations import drawn_samples
from fewflips.execution.runtimes import Runtime
from fewflips.execution.samples import Samples, random_feeds
from fewflips.execution.sessions import runtime_of
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.progress import Progress
from fewflips.records.energy import EnergySettings
from fewflips.simulation.run import EnergyOptions, NetworkEnergies
from fewflips.simulation.unit import ArithmeticUnit, build_unit
from fewflips.visible import printable_name


def energy_settings(
    options: EnergyOptions,
    samples: Samples,
    inputs: str | Path | None,
    schedule: str | Path | None,
    run: NetworkEnergies,
) -> EnergySettings:
    """The user's settings, as a report record."""
    return EnergySettings(
        inputs=None if inputs is None else printable_name(str(inputs)),
        samples=len(samples.feeds),
        schedule=None if schedule is None else printable_name(str(schedule)),
        clock_mhz=options.clock_mhz,
        step_ps=options.step_ps,
        time_limit_s=options.time_limit_s,
        share=run.shares.inertial,
        sampled_share=run.simulated.inertial,
        zero_delay_share=run.simulated.zero_delay,
        seed=options.seed,
    )


def network_unit(
    layers: Sequence[Layer],
    array: Accelerator,
    library: CellLibrary,
    options: EnergyOptions,
    netlist: Path | None = None,
    spef: Path | None = None,
    progress: Progress | None = None,
) -> ArithmeticUnit:
    """The unit that an accelerator needs for some layers, ready to be simulated."""
    datapath = network_datapath(layers, array)
    natural = dataflow_of(array).segments
    check_layers(((layer, natural(layer, array)) for layer in layers), array, datapath)
    return build_unit(datapath, library, netlist=netlist, spef=spef, step_ps=options.step_ps, progress=progress)


def simulated_layers(network: Network) -> tuple[list[Layer], tuple[str, ...]]:
    """Layers whose activations are available as integers, and a note on the others.

    Raises
    ------
    ModelError
        If there is none.
    """
    layers = measurable_layers(network)
    left_out = len(network.layers) - len(layers)
    if not layers:
        raise ModelError(
            f"{network.path}: no layer's activations are integers in the file, and energy needs both operands: "
            "quantize activations too, or say what the machine makes of them (--activations int8)"
        )
    if not left_out:
        return layers, ()
    return layers, (f"Energy of {left_out} layers is left out: their activations are not integers in the file.",)


def samples_or_random(network: Network, inputs: str | Path | None, seed: int) -> tuple[Samples, tuple[str, ...]]:
    """Sample inputs, or one random input if none are given, and remarks on them for the report."""
    samples, notes = read_samples(network, inputs)
    return (samples, notes[:1]) if samples is not None else random_sample(network, seed)


def random_sample(network: Network, seed: int) -> tuple[Samples, tuple[str, ...]]:
    """One random input, or drawn activations where the format has no runtime, and a note that says so."""
    if runtime_of(network.file_format) is None and any(layer.left.on_the_fly for layer in network.layers):
        return drawn_samples(network, seed)
    with Runtime(network.path, network.file_format) as runtime:
        feeds = random_feeds(runtime.inputs, 1, seed)
    note = "Activations are those of one random input: no sample inputs were given (--inputs)."
    return Samples(feeds, "random", note), (note,)
