"""The error for what a replay does not know."""

from __future__ import annotations

from fewflips.errors import InputError


def not_replayed(operator: str, name: str, reason: str = "the operator is not known to it") -> InputError:
    """The error for a network that cannot be replayed.

    Parameters
    ----------
    operator, name : str
        The file's own operator, and the tensor that it computes.
    reason : str
        What is wrong.

    Returns
    -------
    InputError
        One line that says what to do.
    """
    return InputError(
        f"step distill: expected a network that PyTorch can replay, got {operator} ('{name}'): {reason}; leave the "
        "step out"
    )
