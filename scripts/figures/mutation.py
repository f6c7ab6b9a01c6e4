"""The scores of the mutation tests, and the mutants that survive, from results/mutation."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from fewflips.errors import InputError

from .origin import RESULTS

MODULES = (
    "streams/flips",
    "streams/counting",
    "streams/codes",
    "optimization/channel_orders",
    "schedule/file",
    "schedule/binary",
    "schedule/executor",
    "verification/equivalence",
    "verification/schedule_check",
    "ordering/bound",
)


def record_of(module: str) -> dict[str, Any]:
    """The record of a module's mutants."""
    file = RESULTS / "mutation" / f"{module.replace('/', '_')}.json"
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def scores() -> Iterator[tuple[str, int, int, int]]:
    """Module, mutants that there are, tested ones and killed ones."""
    for module in MODULES:
        record = record_of(module)
        tested = sum(record["outcomes"].values())
        yield module, record["possible"], tested, tested - record["outcomes"]["survived"]


def score_table() -> str:
    """Mutants and killed ones, module by module."""
    lines = ["| module of `src/fewflips` | mutants | killed | score |", "| --- | ---: | ---: | ---: |"]
    all_tested = all_killed = 0
    for module, possible, tested, killed in scores():
        mutants = f"{tested}" if tested == possible else f"{tested} of {possible}"
        lines.append(f"| `{module}.py` | {mutants} | {killed} | {100 * killed / tested:.1f} % |")
        all_tested, all_killed = all_tested + tested, all_killed + killed
    lines.append(f"| all | {all_tested} | {all_killed} | {100 * all_killed / all_tested:.1f} % |")
    return "\n".join(lines)


def survivors_table(module: str) -> str:
    """The mutants of a module that survive, and why each is harmless.

    Raises
    ------
    InputError
        If one has no reason, or a reason is of none.
    """
    reasons = tomllib.loads((RESULTS / "mutation" / "reasons.toml").read_text(encoding="utf-8")).get(module, {})
    survivors = record_of(module)["survivors"]
    lines = ["| line | becomes | harmless because |", "| --- | --- | --- |"] if survivors else ["None."]
    left = set(reasons)
    for mutant in survivors:
        change = " ".join(" ".join(line[1:] for line in mutant["change"] if line[0] == "+").split())
        function = mutant["function"] or "module"
        name = f"{function}: {change}"
        if name not in reasons:
            raise InputError(f"mutants of {module}: expected a reason in reasons.toml for {name!r}, or a test")
        left.discard(name)
        code = change.replace("|", "\\|")
        lines.append(f"| {mutant['line']} `{function}` | `{code}` | {reasons[name]} |")
    if left:
        raise InputError(f"reasons of {module}: expected mutants that survive, got {sorted(left)[0]!r}; take it out")
    return "\n".join(lines)
