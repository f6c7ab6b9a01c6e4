"""A digest of the code that a record of mutants belongs to, without the parts that no mutant changes."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Iterator

Span = tuple[tuple[int, int], tuple[int, int]]
"""Start and end, each as a line (counted from 1) and a byte within it."""


def code_digest(source: str) -> str:
    """SHA-256 of a module's code, without imports, comments, docstrings, annotations and white space.

    Names that are imported from elsewhere may move, and words be edited, without a record of mutants going stale. It
    does not depend on the version of Python.
    """
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    text = bytearray(source.encode())
    for (first, begin), (last, end) in (*_left_out(ast.parse(source)), *_comments(source)):
        start, stop = starts[first - 1] + begin, starts[last - 1] + end
        text[start:stop] = b" " * (stop - start)
    return hashlib.sha256(b"".join(bytes(text).split())).hexdigest()


def _left_out(tree: ast.AST) -> Iterator[Span]:
    for node in ast.walk(tree):
        checking = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        words = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if checking or words or isinstance(node, ast.Import | ast.ImportFrom):
            yield _span(node)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(part, ast.expr):
                yield _span(part)


def _span(node: ast.stmt | ast.expr) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _comments(source: str) -> Iterator[Span]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            before = len(token.line[: token.start[1]].encode())
            yield (token.start[0], before), (token.start[0], before + len(token.string.encode()))
