"""Notes that a report tells in a place of its own, rather than among its notes."""

from __future__ import annotations

from enum import StrEnum


class StandingNote(StrEnum):
    """A note of a fixed text; files hold the text, and a note read from a file is equal to its member."""

    NO_SAMPLE_INPUTS = "Activations were not measured: no sample inputs were given."
