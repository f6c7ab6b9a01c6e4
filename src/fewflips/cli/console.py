"""What commands print: results to stdout, progress to stderr."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from fewflips.errors import InputError, OutputError
from fewflips.visible import one_line, visible

if TYPE_CHECKING:
    from fewflips.records.comparison import ComparisonReport
    from fewflips.records.quantities import AnyReport

_PLAIN = "fewflips-plain"
_SUBSTITUTES = {
    **dict.fromkeys("\u2500\u2501\u2013\u2014\u2212", "-"),  # lines and dashes
    **dict.fromkeys("\u00a0\u2009\u202f", " "),
    **{"\u00b5": "u", "\u03bc": "u", "\u00d7": "x", "\u00b1": "+-", "\u00b2": "2", "\u00b0": "deg", "\u2026": "~"},
    **{"\u2192": "->", "\u2264": "<=", "\u2265": ">="},
}
"""Replacements for terminals that support little more than ASCII."""


_PLAIN_SCREEN = "\r\x1b[2K\x1b[?25h"
"""An empty line, and the cursor that bars have hidden."""


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each phase, on stderr if that is a terminal; it appears with the first step."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda phase, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=console, transient=True)
    tasks: dict[str, Any] = {}

    def advance(phase: str, done: int, total: int) -> None:
        bars.start()
        if phase not in tasks:
            tasks[phase] = bars.add_task(escape(visible(phase)), total=total)
        bars.update(tasks[phase], completed=done, total=total)

    try:
        yield advance
    finally:
        if tasks:
            bars.stop()


def show(as_json: Callable[[], str], renderable: Callable[[], Any], json_wanted: bool) -> None:
    """Print a result as JSON or rendered by rich."""
    if json_wanted:
        write_json(as_json())
    else:
        write(rendered(renderable()))


def show_layers(
    report: AnyReport | ComparisonReport, renderable: Callable[[], Any], json_wanted: bool, csv_wanted: bool
) -> None:
    """Print a report on layers as JSON, as CSV, or rendered by rich.

    Raises
    ------
    InputError
        If both JSON and CSV are wanted.
    """
    if json_wanted and csv_wanted:
        raise InputError("expected --json or --csv, got both")
    if csv_wanted:
        from fewflips.report.csv_text import layers_csv

        write(layers_csv(report))
    else:
        show(lambda: report.model_dump_json(indent=1), renderable, json_wanted)


def rendered(renderable: Any) -> str:
    """Rich's output as text for a terminal of this width, with no control sequences but rich's own styles."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    with console.capture() as captured:
        console.print(_Visible(Text(renderable) if isinstance(renderable, str) else renderable))
    return captured.get()


def wrote(files: Iterable[Path]) -> str:
    """Lines that say which files were written."""
    return "".join(f"wrote {visible(str(file))}\n" for file in files)


def write_json(text: str) -> None:
    """Write JSON to stdout, with control characters, and those the terminal cannot show, as JSON escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    write("".join(_escaped(line, encoding) for line in text.splitlines(keepends=True) or [""]).rstrip("\n") + "\n")


def write(text: str) -> None:
    """Write to stdout; a closed reader (``| head``) is not an error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)


def finish_output() -> None:
    """Flush stdout if possible; Python would try again at exit, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard(sys.stdout)


def say(message: str) -> None:
    """Write a line to stderr, if possible."""
    say_lines(one_line(message) + "\n")


def say_lines(text: str) -> None:
    """Write fewflips' own text to stderr, if possible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def note_on_terminal(message: str) -> None:
    """Show a note below the bars if stderr is a terminal; safe in a signal handler."""
    if _is_terminal():
        _write_unbuffered(f"\n{one_line(message)}\n")


def end_at_once(message: str, code: int) -> NoReturn:
    """Write a last line and exit, without unwinding or waiting for a lock; safe in a signal handler."""
    _write_unbuffered(f"{_PLAIN_SCREEN if _is_terminal() else ''}{one_line(message)}\n")
    os._exit(code)


def prepare_streams() -> None:
    """Make the standard streams accept any text, and keep files from reusing the numbers of closed ones.

    Raises
    ------
    OutputError
        If stdout is closed.
    """
    without_output = sys.stdout is None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    if without_output:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        raise OutputError(
            "standard output is closed, so that no result can be printed; leave it open, or send it to a file"
        )
    codecs.register_error(_PLAIN, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_PLAIN)
    warnings.showwarning = _say_warning


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _write_unbuffered(text: str) -> None:
    with suppress(OSError):
        os.write(2, text.encode(errors="replace"))


def _discard(stream: IO[str]) -> None:
    """Discard pending output of a stream that has failed."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Visible:
    """Rich's rendering of something, with every character made visible."""

    def __init__(self, renderable: Any) -> None:
        self.renderable = renderable

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        for segment in console.render(self.renderable, options):
            lines = segment.text.split("\n")
            text = "\n".join(visible(line) for line in lines)
            yield segment if segment.control else Segment(text, segment.style)


def _escaped(line: str, encoding: str) -> str:
    """A line of JSON with everything but an encoding's visible characters escaped."""
    body = line.rstrip("\n")
    try:
        body.encode(encoding)
        if body.isprintable():
            return line
        shown = str.isprintable
    except UnicodeEncodeError:
        shown = str.isascii
    end = line[len(body) :]
    return "".join(c if c.isprintable() and shown(c) else json.dumps(c)[1:-1] for c in body) + end


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replacements for characters that a terminal's encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SUBSTITUTES.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def _say_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    say(f"fewflips: warning: {message}")
