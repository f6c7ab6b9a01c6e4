"""Run one input again by its number, and look for a smaller one with the same outcome."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from fewflips.errors import InputError

from .kinds import KINDS, Files
from .outcome import Outcome, judge
from .worker import Piece, input_of, write_files

MOST_TRIES = 2000


def reproduce(which: str, seed: int, keep: Path | None, minimize: bool) -> int:
    """Run an input in this process and print its outcome; return 1 for a finding."""
    kind, _, number = which.partition(":")
    if kind not in KINDS or not number.isdecimal():
        raise InputError(f"--reproduce: expected KIND:INDEX with one of {', '.join(KINDS)}, got {which}")
    with tempfile.TemporaryDirectory(prefix="fewflips-fuzz-") as name:
        prepared, inputs = Path(name) / "prepared", Path(name) / "input"
        prepared.mkdir()
        target = KINDS[kind].prepare(prepared)
        files = input_of(target, Piece(KINDS[kind], seed, 0, 0), int(number))
        if keep is not None:
            write_files(keep, files)  # before it runs: it may end this process
            print(f"wrote {keep}", flush=True)

        def tried(files: Files) -> Outcome:
            write_files(inputs, files)
            return judge(lambda: target.run(inputs))

        outcome = tried(files)
        if minimize and outcome.is_finding:
            files = smaller(files, lambda shorter: tried(shorter).signature == outcome.signature)
            write_files(keep or Path("minimized"), files)
    print(f"{which}: {outcome.verdict} {outcome.signature}\n{outcome.detail}".rstrip())
    for file, content in files.items():
        print(f"{file}: {len(content)} bytes: {content[:200]!r}")
    return int(outcome.is_finding)


def smaller(files: Files, same: Callable[[Files], bool], most_tries: int = MOST_TRIES) -> Files:
    """Remove every piece of the files that the outcome does not depend on."""
    tries = 0
    for name in list(files):
        length = max(1, len(files[name]) // 2)
        while length and tries < most_tries:
            place = 0
            while place < len(files[name]) and tries < most_tries:
                shorter = files | {name: files[name][:place] + files[name][place + length :]}
                tries += 1
                if same(shorter):
                    files = shorter
                else:
                    place += length
            length //= 2
    return files
