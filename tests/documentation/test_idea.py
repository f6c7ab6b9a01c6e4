"""The picture that moves shows what it says."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from scripts.draw_idea import FLIP_FJ, PICTURE, picture, weights


def shortest_path(words: list[int]) -> int:
    """The fewest flips of any order, by dynamic programming over the words that are left."""

    @cache
    def rest(last: int, left: frozenset[int]) -> int:
        steps = (bin(words[last] ^ words[one]).count("1") + rest(one, left - {one}) for one in left)
        return min(steps, default=0)

    everything = frozenset(range(len(words)))
    return min(rest(first, everything - {first}) for first in everything)


def test_the_file_is_what_the_script_draws() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture()


def test_totals_are_those_of_the_weights_and_of_the_best_order() -> None:
    words, text = weights(), picture()
    stored = sum(f"{one ^ other:b}".count("1") for one, other in pairwise(words))
    best = shortest_path(words)
    for flips in (stored, best):
        assert f"{flips} flips, {flips * FLIP_FJ:.0f} fJ</text></g>" in text
    assert f"{stored} bits flip as stored, {best} in the best order" in text


def test_a_frame_for_every_flip() -> None:
    text = picture()
    counted = sum(int(count) for count in re.findall(r">(\d+) flips?</text>", text))
    assert text.count('class="flip"') == counted > 0
