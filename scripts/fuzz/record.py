"""The progress of a run as JSON, so that an interrupted run can continue, and its table."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fewflips
from fewflips.errors import InputError
from fewflips.report.markdown.escaping import code

from .campaign import Tally
from .findings import Finding
from .kinds import KINDS
from .worker import Piece

ROOT = Path(__file__).parents[2]
FORMAT = "fewflips-fuzz"


def check_tree() -> None:
    """Raise :class:`InputError` unless the package that is fuzzed is this tree's own."""
    found = Path(fewflips.__file__)
    if not found.is_relative_to(ROOT / "src"):
        raise InputError(f"expected the fewflips of {ROOT}, got {found}: install this tree, or set PYTHONPATH=src")


def tree_digest() -> str:
    """Digest of the package and of the fuzzer: all of a run has to be made with the same code."""
    whole = hashlib.sha256()
    for folder in ("src/fewflips", "scripts/fuzz"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


@dataclass
class Record:
    """Tallies of the finished pieces, and findings: the first input of each signature."""

    seed: int
    planned: dict[str, int]
    tree: str
    pieces: list[dict[str, Any]] = field(default_factory=list)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Record:
        """A record as it is in a file.

        Raises
        ------
        InputError
            If it is none.
        """
        content = json.loads(path.read_bytes())
        if content.get("format") != FORMAT:
            raise InputError(f"{path}: expected a record of the fuzzer, got something else")
        found = {row["verdict"] + ": " + row["signature"]: row for row in content["findings"]}
        return cls(content["seed"], content["planned"], content["tree"], content["pieces"], found)

    @property
    def is_complete(self) -> bool:
        """Whether all inputs were tried."""
        return sum(tally.inputs for tally in self.tallies().values()) == sum(self.planned.values())

    @classmethod
    def begin(cls, path: Path | None, seed: int, planned: dict[str, int]) -> Record:
        """A new record, or the one in the file where it is of the same run.

        Raises
        ------
        InputError
            If the file holds a record of another run, or of another state of the code.
        """
        fresh = cls(seed, planned, tree_digest())
        if path is None or not path.exists():
            return fresh
        before = cls.read(path)
        if any(getattr(before, name) != getattr(fresh, name) for name in _SAME):
            raise InputError(f"{path}: expected a record of this run and this code, got another: remove or rename it")
        return before

    def has(self, piece: Piece) -> bool:
        """Whether a piece is finished."""
        return any(
            (row["kind"], row["start"], row["stop"]) == (piece.kind.name, piece.start, piece.stop)
            for row in self.pieces
        )

    def add(self, piece: Piece, tally: Tally, found: list[Finding]) -> None:
        self.pieces.append({"kind": piece.kind.name, "start": piece.start, "stop": piece.stop, **asdict(tally)})
        for finding in found:
            row = self.findings.setdefault(finding.key, asdict(finding) | {"inputs": 0})
            row["inputs"] += 1

    def content(self) -> dict[str, Any]:
        """Content of the file."""
        return {
            "format": FORMAT,
            "seed": self.seed,
            "planned": self.planned,
            "tree": self.tree,
            "kinds": [{"kind": kind} | asdict(tally) for kind, tally in self.tallies().items()],
            "findings": list(self.findings.values()),
            "pieces": self.pieces,
        }

    def tallies(self) -> dict[str, Tally]:
        """Outcomes so far, by kind of input."""
        found: dict[str, Tally] = {}
        for row in self.pieces:
            fields = {name: value for name, value in row.items() if name not in ("kind", "start", "stop")}
            found.setdefault(row["kind"], Tally()).merge(Tally(**fields))
        return {kind: found[kind] for kind in self.planned if kind in found}


_SAME = ("seed", "planned", "tree")


def table(record: Record) -> str:
    """A Markdown table with a row for each kind, and one for all."""
    lines = [
        "| input | inputs | accepted | refused | findings | seconds | slowest, s | most memory | of the valid input |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    tallies = record.tallies()
    for kind, tally in tallies.items():
        memory = f"{tally.peak_mib:.0f} MiB | {tally.valid_mib:.0f} MiB"
        lines.append(f"| {KINDS[kind].what} | {_counts(tally)} | {tally.slowest_seconds:.2f} | {memory} |")
    total = Tally()
    for tally in tallies.values():
        total.merge(tally)
    lines.append(f"| all | {_counts(total)} | {total.slowest_seconds:.2f} | | |")
    lines += ["", *(_described(row) for row in record.findings.values())]
    return "\n".join(lines).rstrip()


def _counts(tally: Tally) -> str:
    numbers = (tally.inputs, tally.accepted, tally.refused, tally.findings)
    return " | ".join([*(f"{number:,}" for number in numbers), f"{tally.seconds:.0f}"])


def _described(row: dict[str, Any]) -> str:
    which = code(f"{row['kind']}:{row['index']}")
    return f"- {which} ({row['inputs']:,} inputs): {row['verdict']}: {code(row['signature'])}"
