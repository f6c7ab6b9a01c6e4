"""The Verilog of an accelerator's arithmetic unit, with a testbench that uses a network's operands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fewflips.dataflows.orders import natural_orders
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.datapath.testbench import write_rtl
from fewflips.errors import InputError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.near_misses import did_you_mean
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.simulation.port_words import first_cycles
from fewflips.simulation.run import NetworkRun, first_part
from fewflips.simulation.setup import samples_or_random, simulated_layers


def write_network_rtl(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator,
    folder: str | Path,
    *,
    inputs: str | Path | None = None,
    layer_name: str | None = None,
    cycles: int = 1024,
    seed: int = 0,
) -> list[Path]:
    """Write a unit and its testbench.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or a network from :func:`fewflips.load`.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    folder : str or Path
        Folder for the files; created if it does not exist.
    inputs : str or Path, optional
        Sample inputs; by default one random input.
    layer_name : str, optional
        The layer whose operands the testbench uses, or the beginning of its name; by default the first.
    cycles : int
        Maximum number of cycles of the testbench.
    seed : int
        Seed of the random input.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    FewflipsError
        If the model, the accelerator, the layer or the inputs cannot be used, or files cannot be written.
    """
    network = model if isinstance(model, Network) else load(model)
    array = load_accelerator(accelerator)
    layers, _ = simulated_layers(network)
    layer = chosen_layer(layers, layer_name)
    datapath = network_datapath(layers, array)
    samples, _ = samples_or_random(network, inputs, seed)
    segments = natural_orders(network, array)[layer.name]
    part = first_part(NetworkRun(network, array, layers, samples), datapath, layer, segments)
    return write_rtl(datapath, first_cycles(part.sequences, cycles, datapath.hold_flags), Path(folder))


def chosen_layer(layers: Sequence[Layer], name: str | None) -> Layer:
    """The layer of a name.

    Parameters
    ----------
    layers : sequence of Layer
        At least one.
    name : str or None
        A name, or the beginning of only one; None for the first layer.

    Returns
    -------
    Layer
        One of them.

    Raises
    ------
    InputError
        If no name, or several, begin so.
    """
    if name is None:
        return layers[0]
    found = [layer for layer in layers if layer.name == name] or [
        layer for layer in layers if layer.name.startswith(name)
    ]
    if len(found) != 1:
        names = ", ".join(layer.name for layer in found or layers)
        nearest = "" if found else did_you_mean(name, (layer.name for layer in layers))
        raise InputError(f"layer {name!r}: expected {'the whole of ' if found else ''}one of {names}{nearest}")
    return found[0]
