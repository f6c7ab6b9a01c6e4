"""The command line, within this process."""

from __future__ import annotations

import zlib
from pathlib import Path

from fewflips.cli import cli
from fewflips.files.input_files import read_plain


def fewflips(*words: str | Path) -> None:
    """Run a command; errors are raised and not printed. No argument of a process can hold a null character."""
    cli.main([str(word).replace("\0", "") for word in words], prog_name="fewflips", standalone_mode=False)


def measure(model: Path, *words: str | Path) -> None:
    """`measure`, mostly with JSON, which takes less time than a table to write."""
    fewflips("measure", model, *words, *(() if one_of(16, model) else ("--json",)))


def one_of(count: int, path: Path) -> bool:
    """Whether to take this content: one in a number, for work that takes too long to do with all."""
    try:
        return zlib.crc32(read_plain(path)) % count == 0
    except OSError:
        return False
