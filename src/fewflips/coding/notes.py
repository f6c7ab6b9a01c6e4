"""What a report says about a machine with coded ports."""

from __future__ import annotations

from fewflips.machine.accelerator import Accelerator


def coding_notes(array: Accelerator, *, ordered: bool = False, by_cost: bool = False) -> tuple[str, ...]:
    """Sentences for the reader; none where both ports are plain.

    Parameters
    ----------
    array : Accelerator
        The machine.
    ordered : bool
        Whether the report is about orders that were chosen.
    by_cost : bool
        Whether they were chosen by a cost of transitions, not by flips.

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
        "passes of one inference. Arithmetic units see decoded words; the energy of encoders and decoders is not "
        "counted."
    ]
    if ordered and array.weights.is_coded:
        what = "cost of transitions between" if by_cost else "flips of"
        notes.append(
            f"Orders were chosen for the {what} the weights' codes, and judged by counting on the coded wires, where "
            "no lower bound is known and nothing is proven."
        )
    return tuple(notes)
