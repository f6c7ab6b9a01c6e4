"""What a report says about a machine with coded ports."""

from __future__ import annotations

from collections.abc import Collection

from fewflips.machine.accelerator import Accelerator


def coding_notes(
    array: Accelerator, *, ordered: bool = False, by_cost: bool = False, simulated: Collection[str] = ()
) -> tuple[str, ...]:
    """Sentences for the reader; none where both ports are plain.

    Parameters
    ----------
    array : Accelerator
        The machine.
    ordered : bool
        Whether the report is about orders that were chosen.
    by_cost : bool
        Whether they were chosen by a cost of transitions, not by flips.
    simulated : collection of {"weights", "activations"}
        Ports whose encoders and decoders are simulated with the units.

    Returns
    -------
    tuple of str
        What was counted on coded wires, and what is not on the bill.

    Examples
    --------
    >>> coding_notes(Accelerator(name="a", lanes=1, columns=1))
    ()
    """
    ports = {"weights": array.weights, "activations": array.activations}
    coded = [f"{port} ({operand.coding})" for port, operand in ports.items() if operand.is_coded]
    if not coded:
        return ()
    notes = [
        f"Coded on the wires: {' and '.join(coded)}. Their flips are counted there, side lanes included, over all "
        f"passes of one inference. {_whose_energy([port for port in ports if ports[port].is_coded], simulated)}"
    ]
    if ordered and array.weights.is_coded:
        what = "cost of transitions between" if by_cost else "flips of"
        notes.append(
            f"Orders were chosen for the {what} the weights' codes, and judged by counting on the coded wires, where "
            "no lower bound is known and nothing is proven."
        )
    return tuple(notes)


def _whose_energy(coded: list[str], simulated: Collection[str]) -> str:
    left_out = [port for port in coded if port not in simulated]
    if not left_out:
        return (
            "Encoders and decoders are part of the energy where it is simulated; the search for orders and estimates "
            "of energy see decoded words."
        )
    of_ports = f" of {' and '.join(left_out)}" if len(left_out) < len(coded) else ""
    return f"Arithmetic units see decoded words; the energy of encoders and decoders{of_ports} is not counted."
