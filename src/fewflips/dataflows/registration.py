"""Dataflows by name."""

from __future__ import annotations

from typing import TypeVar

from fewflips.dataflows.protocol import Dataflow
from fewflips.errors import AcceleratorError
from fewflips.machine.accelerator import Accelerator
from fewflips.machine.dataflow_names import DATAFLOWS

Flow = TypeVar("Flow", bound=type[Dataflow])


def dataflow_of(array: Accelerator) -> Dataflow:
    """The dataflow of an accelerator.

    Parameters
    ----------
    array : Accelerator
        The machine; its `dataflow` is the name.

    Returns
    -------
    Dataflow
        The same object for all accelerators of that dataflow.

    Raises
    ------
    AcceleratorError
        If the package that announces it cannot be loaded, or provides something other than a dataflow; or if the
        machine has tiles, serpentine replay or a scan and the dataflow has not.
    """
    flow = dataflow_named(array.dataflow)
    if array.is_tiled and not flow.has_tiles:
        raise AcceleratorError(
            f"{array.name}: tiling: expected an activation-stationary dataflow, whose columns keep the sums of a tile; "
            f"got {array.dataflow}: leave tiling out"
        )
    if array.turns:
        _check_replay(array, flow)
    if array.scan != "raster" and not flow.has_scans:
        raise AcceleratorError(
            f"{array.name}: scan: expected a weight-stationary dataflow, past whose weights output pixels stream; got "
            f"{array.dataflow}: leave scan out"
        )
    return flow


def _check_replay(array: Accelerator, flow: Dataflow) -> None:
    if not flow.has_serpentine_replay:
        raise AcceleratorError(
            f"{array.name}: replay: dataflow {flow.name} only repeats passes from their first word: expected forward, "
            "got serpentine: leave replay out"
        )
    if array.datapath.hold_flags:
        raise AcceleratorError(
            f"{array.name}: replay: expected forward on a machine with datapath.hold_flags, whose flags compare each "
            "weight with the one before it, got serpentine: leave one of them out"
        )


def dataflow_named(name: str) -> Dataflow:
    """A dataflow by its name; errors as for :func:`dataflow_of`."""
    flow = DATAFLOWS[name]
    if not isinstance(flow, Dataflow):
        raise AcceleratorError(f"dataflow {name}: expected a fewflips.dataflows.Dataflow, got {type(flow).__name__}")
    return flow


def dataflow_names() -> tuple[str, ...]:
    """Names of all dataflows, fewflips' own first."""
    return DATAFLOWS.names


def register_dataflow(flow: Flow) -> Flow:
    """Register a dataflow; a decorator for its class.

    Parameters
    ----------
    flow : type
        A subclass of Dataflow; accelerators refer to it by its `name`.

    Returns
    -------
    type
        The class, unchanged.

    Raises
    ------
    FewflipsError
        If fewflips itself has a dataflow with that name.

    Examples
    --------
    >>> from fewflips.dataflows.activation_stationary.dataflow import ActivationStationary
    >>> @fewflips.register_dataflow
    ... class Backwards(ActivationStationary):
    ...     name = "backwards"
    ...
    ...     def segments(self, layer, array):
    ...         return super().segments(layer, array)[::-1]
    >>> machine = fewflips.Accelerator(name="own", dataflow="backwards", lanes=4, columns=4)
    >>> fewflips.measure("shapes.onnx", machine).totals.macs
    65024
    """
    return DATAFLOWS.register(flow.name)(flow)
