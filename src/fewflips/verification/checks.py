"""Comparisons of two models as records."""

from __future__ import annotations

from math import isfinite

from fewflips.records.optimization import (
    Check,
    StructureCheck,
)
from fewflips.verification.equivalence import Comparison
from fewflips.verification.structure import StructureComparison


def comparison_check(comparison: Comparison, structure: StructureComparison | None) -> Check:
    """A comparison of two models as a report record; it passes if nothing differs."""
    if structure is None:
        words = (
            "structure: not compared, since the files are of different formats, and outputs on a few inputs do not "
            "prove that two models are the same"
        )
    else:
        words = structure.describe()
    return Check(
        passed=comparison.bit_exact and (structure is None or structure.equal),
        method=f"{words}; {comparison.describe()}",
        sample_inputs=comparison.sample_inputs,
        random_inputs=comparison.random_inputs,
        values=comparison.values,
        equal_share=comparison.equal_share,
        largest_difference=comparison.largest_difference if isfinite(comparison.largest_difference) else None,
        bit_exact=comparison.bit_exact,
        structure=None if structure is None else _structure_check(structure),
        intermediate_tensors=comparison.intermediate_tensors,
        intermediate_values=comparison.intermediate_values,
    )


def _structure_check(structure: StructureComparison) -> StructureCheck:
    return StructureCheck(
        equal=structure.equal,
        constants=structure.constants,
        channel_orders=structure.moved_groups,
        differing=structure.differing,
        differences=structure.differences,
    )
