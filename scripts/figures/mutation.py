"""The scores of the mutation tests, from docs/results/mutation."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .origin import RESULTS

MODULES = ("flips", "streams", "dropin", "schedule", "network/equivalence", "ordering/bound", "optimization")
PARTS = {"optimization": "`check_schedule` of "}
"""Functions of modules of which nothing else is mutated."""


def scores() -> Iterator[tuple[str, int, int, int]]:
    """Module, mutants that there are, tested ones and killed ones."""
    for module in MODULES:
        record = json.loads((RESULTS / "mutation" / f"{module.replace('/', '_')}.json").read_text(encoding="utf-8"))
        tested = sum(record["outcomes"].values())
        yield module, record["possible"], tested, tested - record["outcomes"]["survived"]


def score_table() -> str:
    """Mutants and killed ones, module by module."""
    lines = ["| module of `src/fewflips` | mutants | killed | score |", "| --- | ---: | ---: | ---: |"]
    all_tested = all_killed = 0
    for module, possible, tested, killed in scores():
        mutants = f"{tested}" if tested == possible else f"{tested} of {possible}"
        lines.append(f"| {PARTS.get(module, '')}`{module}.py` | {mutants} | {killed} | {100 * killed / tested:.1f} % |")
        all_tested, all_killed = all_tested + tested, all_killed + killed
    lines.append(f"| all | {all_tested} | {all_killed} | {100 * all_killed / all_tested:.1f} % |")
    return "\n".join(lines)
