"""The machine and the orders that a command works with: those of a schedule, or natural ones."""

from __future__ import annotations

from pathlib import Path

from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator, load_accelerator
from fewflips.network import Network
from fewflips.schedule.file import read_schedule, schedule_orders


def machine_and_orders(
    network: Network, accelerator: str | Path | Accelerator | None, schedule: str | Path | None
) -> tuple[Accelerator, LayerOrders]:
    """The machine, and the orders of all layers.

    Parameters
    ----------
    network : Network
        The network.
    accelerator : str, Path or Accelerator, optional
        A built-in machine's name, a YAML file, or an accelerator. By default the schedule's, or ``edge16``.
    schedule : str or Path, optional
        A ``schedule.json`` or ``schedule.bin``; natural orders without it.

    Returns
    -------
    Accelerator
        The machine.
    LayerOrders
        Segments of each layer.

    Raises
    ------
    AcceleratorError
        If there is no such machine, or it differs from the schedule's in what its segments depend on.
    InputError
        If the schedule cannot be used for the network.
    """
    if schedule is None:
        array = load_accelerator(accelerator or "edge16")
        return array, natural_orders(network, array)
    content = read_schedule(Path(schedule))
    if accelerator is None:
        return content.accelerator, schedule_orders(content, network)
    array = load_accelerator(accelerator)
    unlike = [
        name
        for name in ("dataflow", "lanes", "columns", "tiling")
        if getattr(array, name) != getattr(content.accelerator, name)
    ]
    if unlike:
        raise AcceleratorError(
            f"{schedule}: made for {content.accelerator.name}, whose {', '.join(unlike)} differ from those of "
            f"{array.name}: optimize for {array.name}, or leave --accelerator out"
        )
    return array, schedule_orders(content, network)
