"""What a user asks an optimization for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.visible import printable_name

if TYPE_CHECKING:
    from fewflips.gates.liberty.cells import CellLibrary
    from fewflips.simulation.run import EnergyOptions


Mode = Literal["schedule", "drop-in", "both"]


@dataclass(frozen=True)
class Request:
    """What the user asked for, as it goes into the report."""

    model: str
    accelerator: str
    mode: Mode
    inputs: str | None
    prove: bool
    seed: int
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnergyRequest:
    """That energy is to be simulated, and how.

    Parameters
    ----------
    cells : str, Path or CellLibrary
        A built-in table's name, a cell table, or a Liberty file.
    options : EnergyOptions or None
        Clock, time limit, sampling; defaults without it.
    """

    cells: str | Path | CellLibrary = "nangate45"
    options: EnergyOptions | None = None


def request_of(
    network: Network,
    accelerator: str | Path | Accelerator,
    mode: Mode,
    inputs: str | Path | None,
    prove: bool,
    seed: int,
    energy: EnergyRequest | None,
) -> Request:
    """The arguments of an optimization as a record, names of files made printable."""
    machine = accelerator.name if isinstance(accelerator, Accelerator) else str(accelerator)
    return Request(
        model=printable_name(str(network.path)),
        accelerator=printable_name(machine),
        mode=mode,
        inputs=None if inputs is None else printable_name(str(inputs)),
        prove=prove,
        seed=seed,
        extra=() if energy is None else _energy_words(energy),
    )


def _energy_words(energy: EnergyRequest) -> tuple[str, ...]:
    """What of an energy request goes onto the command line that makes the report again."""
    source = energy.cells if isinstance(energy.cells, str | Path) else energy.cells.source
    words = ["--energy", "--cells", printable_name(str(source))]
    if energy.options is not None:
        words += ["--clock-mhz", f"{energy.options.clock_mhz:g}", "--time-limit", f"{energy.options.time_limit_s:g}"]
        words += ["--share", f"{energy.options.share:g}"] if energy.options.share is not None else []
    return tuple(words)
