"""Changes of texts, word by word."""

from __future__ import annotations

import random
import re

from . import raw
from .values import INTEGERS, STRINGS

_TOKEN = re.compile(rb"\s+|[A-Za-z_][\w.]*|[-+]?\d[\w.+]*|\"[^\"\n]*\"|.", re.DOTALL)
_NUMBERS = (
    *(str(value) for value in INTEGERS),
    *("1e400", "-1e400", "1e-400", "nan", "inf", "-inf", ".inf", ".nan", "0x10", "0o17", "1_000", "007", "1" * 400),
    *("1.", ".5", "1e", "--1", "1,5", "1e999999999", "9" * 5000),
)


class Tokens:
    """Changes texts of a language.

    `words` are what it is made of beside what the valid texts hold.
    """

    def __init__(self, seeds: list[bytes], words: tuple[str, ...] = (), longest: int = 200_000) -> None:
        self._split = {seed: _TOKEN.findall(seed) for seed in seeds}
        found = sorted({token for tokens in self._split.values() for token in tokens if not token.isspace()})
        self._known = [*found, *(word.encode("utf-8", "surrogatepass") for word in words)]
        self._odd = [text.encode("utf-8", "surrogatepass") for text in (*_NUMBERS, *STRINGS)]
        self._seeds, self._longest = tuple(seeds), longest

    def change(self, chance: random.Random, content: bytes) -> bytes:
        """One to a few changes; now and then of bytes."""
        if chance.random() < 0.15:
            return raw.change(chance, content, self._seeds)
        tokens = list(self._split.get(content) or _TOKEN.findall(content))
        for _ in range(1 + int(chance.expovariate(0.6))):
            self._one(chance, tokens)
        return b"".join(tokens)[: self._longest]

    def _one(self, chance: random.Random, tokens: list[bytes]) -> None:
        if not tokens:
            tokens.append(self._word(chance))
            return
        chance.choice(_CHANGES)(self, chance, tokens, chance.randrange(len(tokens)))

    def _replace(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        for _ in range(8):  # a word rather than the space between words
            if not tokens[place].isspace():
                break
            place = chance.randrange(len(tokens))
        tokens[place] = self._word(chance)

    def _remove(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        del tokens[place : place + chance.choice((1, 1, 2, 8, 64))]

    def _insert(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        tokens[place:place] = [self._word(chance) for _ in range(chance.choice((1, 1, 2, 5)))]

    def _exchange(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        other = chance.randrange(len(tokens))
        tokens[place], tokens[other] = tokens[other], tokens[place]

    def _repeat(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        tokens[place:place] = tokens[place : place + chance.randrange(1, 64)] * chance.choice((1, 1, 2, 50))

    def _truncate(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        del tokens[place:]

    def _nest(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        opening = chance.choice((b"(", b"{", b"[", b"((", b"- ", b"!"))
        tokens[place:place] = [opening] * chance.choice((1, 10, 3000))

    def _splice(self, chance: random.Random, tokens: list[bytes], place: int) -> None:
        other = self._split[chance.choice(self._seeds)]
        begin = chance.randrange(len(other))
        tokens[place:place] = other[begin : begin + chance.randrange(1, 64)]

    def _word(self, chance: random.Random) -> bytes:
        return chance.choice(self._known if chance.random() < 0.5 else self._odd)


_CHANGES = (
    *(Tokens._replace,) * 8,
    *(Tokens._remove, Tokens._insert, Tokens._exchange, Tokens._repeat) * 2,
    *(Tokens._insert, Tokens._truncate, Tokens._nest, Tokens._splice),
)
