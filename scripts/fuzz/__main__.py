"""Mutated inputs for everything that fewflips reads: `python -m scripts.fuzz`.

Every input is read as a command reads it, in a process that goes through many. It is to be accepted or refused by one
line of fewflips' own. A traceback, a crash, text of a library on stderr, more than 20 seconds, or more than twice the
memory of the valid input is a finding. Input number i of a kind follows from seed, kind and i alone, so that
`--reproduce KIND:i` finds it again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from fewflips.errors import FewflipsError, InputError
from fewflips.files.atomic import atomic_write

from .campaign import Campaign, Tally
from .findings import Finding, save
from .kinds import KINDS, counts
from .page import write_page
from .record import Record, check_tree, table
from .reproduce import reproduce
from .worker import Piece

PIECE = 20_000
"""Inputs per worker process, and the most that an interrupted run has to repeat."""


def main(words: list[str] | None = None) -> int:
    """Return 1 if something is found, and 2 if the fuzzer cannot run."""
    arguments = _parser().parse_args(words)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        if arguments.page:
            write_page(arguments.page)
            return 0
        kinds = _kinds(arguments.kinds)
        check_tree()
        if arguments.reproduce:
            return reproduce(arguments.reproduce, arguments.seed, arguments.keep, arguments.minimize)
        return _run(arguments, kinds)
    except (FewflipsError, OSError) as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=3000, help="how many, all kinds together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kinds", nargs="+", default=[], metavar="KIND", help=f"of {', '.join(KINDS)}; all without it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the record; a run that was cut off goes on there")
    parser.add_argument("--findings", type=Path, metavar="DIR", help="folder for one file for each finding")
    parser.add_argument("--reproduce", metavar="KIND:INDEX", help="run one input in this process, and show its end")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --reproduce: write the input there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table of a record into docs/reliability.md")
    parser.add_argument("--minimize", action="store_true", help="with --reproduce: make the input small")
    return parser


def _kinds(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise InputError(f"--kinds: expected some of {', '.join(KINDS)}, got {', '.join(unknown)}")
    return names or list(KINDS)


def _run(arguments: argparse.Namespace, kinds: list[str]) -> int:
    planned = counts(kinds, arguments.inputs)
    record = Record.begin(arguments.json, arguments.seed, planned)
    pieces = [
        Piece(KINDS[kind], arguments.seed, start, min(start + PIECE, count))
        for kind, count in planned.items()
        for start in range(0, count, PIECE)
    ]

    def note(piece: Piece, tally: Tally, found: list[Finding]) -> None:
        record.add(piece, tally, found)
        for finding in {finding.key: finding for finding in reversed(found)}.values():
            if arguments.findings is not None:
                save(finding, arguments.findings)
        if arguments.json is not None:
            atomic_write(arguments.json, (json.dumps(record.content(), indent=1) + "\n").encode())

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # files in memory are written sooner
    with tempfile.TemporaryDirectory(prefix="fewflips-fuzz-", dir=memory) as folder:
        Campaign(Path(folder), arguments.jobs, _say).run([piece for piece in pieces if not record.has(piece)], note)
    print(table(record))
    return 1 if record.findings else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
