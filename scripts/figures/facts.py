"""Every figure that a page may state, by name, from the records that commands have written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from benchmarks.record import RESULTS as BENCHMARKS
from benchmarks.record import read_record
from scripts.audit.figures import Audit, read_audit
from scripts.audit.setups import OTHER_MACHINES, UNITS_AND_CELLS, Question, questions
from scripts.audit.tables import answer
from scripts.post_layout.record import read_record as read_post_layout
from scripts.post_layout.table import widest_change
from scripts.reproduction.targets import ACCURACY_POINTS

from .calibration import calibration_facts
from .codesign import codesign_facts
from .derived import derived_facts
from .origin import PJ_PER_UJ, RESULTS, Fact


@cache
def facts() -> dict[str, Fact]:
    """All figures: ``record/row/field``, and what follows from them.

    A benchmark's record gives ``networks/MODEL/schedule_reduction``, the pairs of the result
    ``reproduction/8 bits, seed 0, both/network_ratio``, the audit ``audit/edge8/network``.
    """
    found = dict(_benchmarks()) | dict(_reproduction()) | dict(calibration_facts()) | dict(_post_layout())
    found |= dict(codesign_facts())
    audit = read_audit(RESULTS / "audit.json")
    if audit is not None:
        found |= dict(_audit(audit))
    return found | derived_facts(found)


def reproduction_rows() -> list[dict[str, Any]]:
    """The variants of all pairs."""
    return json.loads((RESULTS / "reproduction.json").read_text(encoding="utf-8"))


def _benchmarks() -> Iterator[tuple[str, Fact]]:
    for path in sorted(BENCHMARKS.glob("*.json")):
        for row, fields in read_record(path.stem).rows.items():
            for field, value in fields.items():
                if value is not None:
                    yield f"{path.stem}/{row}/{field}", value


def _reproduction() -> Iterator[tuple[str, Fact]]:
    baselines = {
        (row["bits"], row["seed"]): row["accuracy_percent"]
        for row in reproduction_rows()
        if row["variant"] == "baseline"
    }
    for row in reproduction_rows():
        name = f"reproduction/{row['bits']} bits, seed {row['seed']}, {row['variant']}"
        for field, value in row.items():
            yield f"{name}/{field}", value
        lost = baselines[row["bits"], row["seed"]] - row["accuracy_percent"]
        yield f"{name}/points", -lost
        yield f"{name}/margin_points", ACCURACY_POINTS - lost


def _post_layout() -> Iterator[tuple[str, Fact]]:
    record = read_post_layout()
    yield "post_layout/wires_mm", sum(record.layout.length_um.values()) / 1000
    yield "post_layout/widest change_percent", 100 * widest_change(record.comparisons())


def _audit(audit: Audit) -> Iterator[tuple[str, Fact]]:
    points = {(one.before, one.after): one for one in audit.paired}
    for question in questions():
        name, got = f"audit/{_short(question)}", answer(audit, question)
        before, after = got.with_buffers
        yield f"{name}/mean", got.mean
        yield f"{name}/network", got.network
        yield f"{name}/best", got.best
        yield f"{name}/before_uj", got.first.data_pj / PJ_PER_UJ
        yield f"{name}/after_uj", got.second.data_pj / PJ_PER_UJ
        yield f"{name}/before_with_clock_uj", got.first.total_pj / PJ_PER_UJ
        yield f"{name}/network with clock", got.first.total_pj / got.second.total_pj
        yield f"{name}/with_buffers", before / after
        change = points[question.before.network, question.after.network]
        yield f"{name}/points", change.points
        yield f"{name}/standard_error", change.standard_error
    sections = (UNITS_AND_CELLS, OTHER_MACHINES)
    groups = {section: [one for one in questions() if one.section == section] for section in sections}
    groups["wider arrays"] = [one for one in groups[OTHER_MACHINES] if one.label != "edge4"]
    for section, asked in groups.items():
        answers = [answer(audit, question) for question in asked]
        for measure in ("mean", "network"):
            values = [getattr(one, measure) for one in answers]
            yield f"audit/{section}/smallest {measure}", min(values)
            yield f"audit/{section}/largest {measure}", max(values)
    errors = [points[question.before.network, question.after.network].standard_error for question in questions()]
    yield "audit/smallest standard_error", min(errors)
    yield "audit/largest standard_error", max(errors)
    whole, built_in = (
        answer(audit, next(one for one in questions() if one.label == label)) for label in ("nangate45, whole", "edge4")
    )
    for name, order in (("baseline", "first"), ("hd_trained", "second")):
        share = getattr(built_in, order).data_pj / getattr(whole, order).data_pj
        yield f"audit/built-in below the whole library/{name}_percent", 100 * (1 - share)
    yield "audit/sram_pj_per_bit", audit.sram_pj_per_bit


def _short(question: Question) -> str:
    """A name for a row of the audit that is short enough for the registry."""
    if question.before.network.startswith("headroom"):
        return f"headroom given to both, {question.pair}, {question.before.order}"
    if question.before.network.startswith("pruned"):
        return "pruned, 8-bit unit" if question.before.weight_bits is None else "pruned, 5-bit unit"
    return question.label.replace(":", ",")
