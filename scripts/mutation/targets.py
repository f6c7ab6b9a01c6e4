"""Which modules are mutated, by which operators, and which tests have to notice."""

from __future__ import annotations

import ast
import random
import re
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

TARGETS = {
    "streams/flips": ("tests/test_flips.py",),
    "streams/counting": (
        "tests/test_streams.py",
        "tests/accelerator/test_dataflows.py",
        "tests/accelerator/test_serpentine_replay.py",
    ),
    "streams/codes": ("tests/test_streams.py", "tests/accelerator/test_dataflows.py"),
    "optimization/channel_orders": (
        "tests/test_dropin.py",
        "tests/test_dropin_by_cost.py",
        "tests/network/test_transformer_channels.py",
    ),
    "schedule/file": ("tests/test_schedule.py", "tests/test_signed_schedule.py"),
    "schedule/binary": ("tests/test_binary_schedule.py", "tests/test_signed_schedule.py"),
    "schedule/executor": ("tests/test_schedule.py", "tests/test_signed_schedule.py"),
    "verification/equivalence": ("tests/network/test_equivalence.py",),
    "verification/schedule_check": ("tests/test_schedule_check.py",),
    "ordering/bound": ("tests/ordering/test_bound_steps.py",),
}
"""Tests of each module below src/fewflips."""

OPERATORS = re.compile(
    r"core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Add|Div_Mul|FloorDiv_Mul|Mod_FloorDiv|Pow_Mul|RShift_LShift"
    r"|LShift_RShift|BitOr_BitAnd|BitAnd_BitOr|BitXor_BitOr)"
    r"|ReplaceComparisonOperator_(?!(Eq|NotEq|Lt|LtE|Gt|GtE)_Is)(?!Is(Not)?_(?!Is)).*|ReplaceUnaryOperator_.*|AddNot"
    r"|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue"
    r"|ReplaceContinueWithBreak|ExceptionReplacer|NumberReplacer|ZeroIterationForLoop)"
)
"""One replacement of each arithmetic operator, every other mutation of Cosmic Ray that needs no settings.

Left out: eleven more replacements of each arithmetic operator (nearly all fail at once on integers), `==` by `is`, and
decorators (Numba's and dataclasses' are no logic).
"""

RECORD_CALLS = ("dataclass", "field", "ConfigDict")


@dataclass(frozen=True)
class Mutant:
    """One change of a module."""

    module: str
    operator: str
    occurrence: int
    line: int
    definition: str

    def code(self, original: str) -> str | None:
        """The changed module; None where the operator does not apply."""
        return mutate_code(original, get_operator(self.operator)(), self.occurrence)


def source_of(module: str, root: Path) -> Path:
    return root / "src" / "fewflips" / f"{module}.py"


def mutants_of(module: str, root: Path) -> list[Mutant]:
    """All mutants of a module by OPERATORS.

    Left out: those of type annotations, which nothing evaluates, and of what records are asked for besides their
    fields (`frozen`, `eq`, `repr`), which no figure depends on.
    """
    original = source_of(module, root).read_text()
    left_out = _annotations_and_records(ast.parse(original))
    nodes = list(ast_nodes(get_ast(original)))
    found = []
    for name in filter(OPERATORS.fullmatch, sorted(operator_names())):
        operator = get_operator(name)()
        places = [(node, start) for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (node, start) in enumerate(places):
            definition = ASTQuery(node).get_definition_name() or ""
            if not any(first <= start < last for first, last in left_out):
                found.append(Mutant(module, name, occurrence, start[0], definition))
    return found


def draw(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """The mutants in random order: every prefix is a sample without replacement."""
    return random.Random(seed).sample(mutants, len(mutants))


def _annotations_and_records(tree: ast.AST) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    spans = []
    for node in ast.walk(tree):
        record = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RECORD_CALLS
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None), node if record else None):
            if isinstance(part, ast.expr):
                spans.append(((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0)))
    return spans
