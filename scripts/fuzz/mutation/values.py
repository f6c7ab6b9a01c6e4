"""Values that programs tend not to expect."""

from __future__ import annotations

import random

INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 8, 15, 16, 31, 32, 64, 100, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536),
    *(-2, -7, -128, -129, -32768, 2**24, 10**6, 10**9, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**53, 2**53 + 1),
    *(2**62, 2**63 - 1, -(2**63)),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-308, 5e-324, 1e38, 3.5e38, 1e308, float("inf"), float("-inf"))
NAN = float("nan")
STRINGS = (
    "",
    " ",
    "0",
    "1",
    "-1",
    "x",
    "z",
    "null",
    "true",
    "nan",
    "../../etc/passwd",
    "/dev/null",
    "\0",
    "a\0b",
    "\n",
    "a\nb",
    "\t",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\u202eright to left",
    "\ufeff",
    "\u2028",
    "é",
    "漢字",
    "😀",
    "<script>alert(1)</script>",
    "[bold]markup[/bold]",
    "[/]",
    "[red",
    "{0}%s%n${x}",
    "a" * 300,
    "b" * 70000,
    "con",
    "name with spaces",
    "'",
    '"',
    "\\",
    "`",
    ",",
    ";",
    "*",
    "?",
)


def integer(chance: random.Random, near: int = 0) -> int:
    """An integer: one that tends to be trouble, one near `near`, or any."""
    way = chance.random()
    if way < 0.5:
        return chance.choice(INTEGERS)
    if way < 0.8:
        return near + chance.choice((-1, 1, -2, 2, near, -near, 1 - 2 * near))
    return chance.getrandbits(chance.randint(1, 63)) * chance.choice((1, -1))


def within(value: int, low: int, high: int) -> int:
    """The value, wrapped into a range as a narrower word would."""
    return low + (value - low) % (high - low + 1)


def real(chance: random.Random, near: float = 1.0) -> float:
    """A float."""
    way = chance.random()
    if way < 0.4:
        return chance.choice((*FLOATS, NAN))
    if way < 0.8:
        return near * chance.choice((-1.0, 2.0, 1e-30, 1e30, 0.999, 1e9))
    return chance.gauss(0, 10.0 ** chance.randint(-10, 10))


def text(chance: random.Random, near: str = "") -> str:
    """A string."""
    way = chance.random()
    if way < 0.6:
        return chance.choice(STRINGS)
    if way < 0.8 and near:
        place = chance.randrange(len(near) + 1)
        return near[:place] + chance.choice(STRINGS) + near[place:]
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x3000)))) for _ in range(chance.randrange(9))
    )
