"""The command line, within this process."""

from __future__ import annotations

from pathlib import Path

from fewflips.cli import cli


def fewflips(*words: str | Path) -> None:
    """Run a command; errors are raised and not printed."""
    cli.main([str(word) for word in words], prog_name="fewflips", standalone_mode=False)


def measure(model: Path, *words: str | Path) -> None:
    """`measure`, mostly with JSON, which takes less time than a table to write."""
    table = model.exists() and model.stat().st_size % 8 == 0
    fewflips("measure", model, *words, *(() if table else ("--json",)))
