"""The command line, as a user runs it."""

from __future__ import annotations

import sys

import pytest

from fewflips.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["fewflips", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)
