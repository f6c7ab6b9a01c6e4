"""How many examples a property is tried with."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

USUAL_EXAMPLES = 100
FRESH_TIMES = 5
"""How many times more examples `make test-random` tries than `make test`."""


def examples(count: int, **options: Any) -> settings:
    """Settings of a property with a number of examples of its own; profiles that try more multiply it.

    Parameters
    ----------
    count : int
        Examples in `make test`.
    **options
        Other settings of Hypothesis.
    """
    return settings(max_examples=count * settings().max_examples // USUAL_EXAMPLES, **options)
