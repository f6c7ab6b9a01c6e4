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
        Its `dataflow` is the name.

    Returns
    -------
    Dataflow
        The same object for all accelerators of that dataflow.

    Raises
    ------
    AcceleratorError
        If the package that announces it cannot be loaded, or gives something else than a dataflow.
    """
    return dataflow_named(array.dataflow)


def dataflow_named(name: str) -> Dataflow:
    """A dataflow by its name; errors as for :func:`dataflow_of`."""
    flow = DATAFLOWS[name]
    if not isinstance(flow, Dataflow):
        raise AcceleratorError(f"dataflow {name}: expected a fewflips.dataflows.Dataflow, got {type(flow).__name__}")
    return flow


def dataflow_names() -> tuple[str, ...]:
    """Names of all dataflows: those of the package first."""
    return DATAFLOWS.names


def register_dataflow(flow: Flow) -> Flow:
    """Make a dataflow known, as a decorator of its class.

    Parameters
    ----------
    flow : type
        A subclass of Dataflow; its `name` is what accelerators give.

    Returns
    -------
    type
        The class as it is.

    Raises
    ------
    FewflipsError
        If fewflips itself has a dataflow of that name.
    """
    return DATAFLOWS.register(flow.name)(flow)
