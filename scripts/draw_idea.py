"""Draw the picture that moves in docs/idea.md: `python -m scripts.draw_idea`.

Eight weights of the tutorials' network enter a multiplier one after the other, as stored and in the best order. Bits
that change are marked, counted, and paid for: a wire of 10 fF at 1.1 V takes half of C V^2 for each of them.
"""

from __future__ import annotations

from itertools import pairwise, permutations
from pathlib import Path

import onnx
from onnx import numpy_helper

from fewflips.files.atomic import atomic_write

ROOT = Path(__file__).parent.parent
NETWORK = ROOT / "docs" / "tutorials" / "files" / "shapes.onnx"
PICTURE = ROOT / "docs" / "images" / "idea.svg"
WORDS, BITS = 8, 8
FLIP_FJ = 10 * 1.1**2 / 2
SECONDS = 1.6
"""How long a step is shown; the last one twice as long."""

WIDTH, PANEL, CELL, LEFT, BAR = 420, 172, 27, 74, 396

STYLE = """
  svg { --paper: #ffffff; --ink: #1c2530; --faint: #5b6875; --cell: #e8edf2; --one: #b9c6d3; --flip: #d55e00; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #171b20; --ink: #e9eef3; --faint: #a3b0bd; --cell: #262d35; --one: #46535f; --flip: #ff9a4d; }
  }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); }
  .faint { fill: var(--faint); }
  .title { font-weight: 600; font-size: 15px; }
  .bit { font: 14px ui-monospace, monospace; text-anchor: middle; }
  .right { text-anchor: end; }
  .paper { fill: var(--paper); }
  .b0 { fill: var(--cell); } .b1 { fill: var(--one); }
  .flip { fill: none; stroke: var(--flip); stroke-width: 3; }
  .bar { fill: var(--flip); stroke: var(--paper); }
  .track { fill: var(--cell); }
"""


def weights() -> list[int]:
    """The first weights that a lane of the layer `expand` sees, as bytes."""
    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(NETWORK).graph.initializer}
    return [int(code) & 0xFF for code in constants["expand.weight"][:WORDS, 0, 0, 0]]


def flips(order: tuple[int, ...] | list[int]) -> list[int]:
    """Bits that change at each step."""
    return [(one ^ other).bit_count() for one, other in pairwise(order)]


def _style() -> str:
    """Which step is seen when: by CSS, which stands still where the reader wants no motion."""
    share, rules = 100 / WORDS, []
    for step in range(WORDS - 1):
        start, end = share * step, 100 if step == WORDS - 2 else share * (step + 1)
        seen = f"{start:g}%, {end - 0.01:g}% {{ opacity: 1 }}"
        before = f"0%, {start - 0.01:g}% {{ opacity: 0 }} " if step else ""
        after = "" if end == 100 else f" {end:g}%, 100% {{ opacity: 0 }}"
        rules.append(f"  @keyframes step{step} {{ {before}{seen}{after} }}")
        rules.append(f"  @keyframes from{step} {{ {before}{start:g}%, 100% {{ opacity: 1 }} }}")
        rules += [
            f"  .{kind}{step} {{ animation: {kind}{step} {SECONDS * WORDS:g}s infinite; }}" for kind in ("step", "from")
        ]
    rules.append("  @media (prefers-reduced-motion: reduce) { g, rect { animation: none !important; }")
    hidden = ", ".join(f".step{step}" for step in range(WORDS - 2))
    rules.append(f"    {hidden} {{ opacity: 0; }} }}")
    return STYLE + "\n".join(rules) + "\n"


def _word(word: int, label: str, y: int, changed: int) -> str:
    parts = [f'<text class="faint" x="12" y="{y + 18}">{label}</text>']
    for place in range(BITS):
        bit, x = word >> (BITS - 1 - place) & 1, LEFT + place * (CELL + 3)
        parts.append(f'<rect class="b{bit}" x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4"/>')
        parts.append(f'<text class="bit" x="{x + CELL / 2:g}" y="{y + 19}">{bit}</text>')
        if changed >> (BITS - 1 - place) & 1:
            parts.append(f'<rect class="flip" x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4"/>')
    return "".join(parts)


def _panel(title: str, order: list[int], top: int, largest: int) -> str:
    counts = flips(order)
    parts = [
        f'<text class="title" x="12" y="{top + 16}">{title}</text>',
        f'<rect class="track" x="12" y="{top + 128}" width="{BAR}" height="16" rx="3"/>',
    ]
    done = 0
    for step, (one, other) in enumerate(pairwise(order)):
        x, width = 12 + BAR * done / largest, BAR * counts[step] / largest
        done += counts[step]
        parts.append(f'<rect class="bar from{step}" x="{x:.1f}" y="{top + 128}" width="{width:.1f}" height="16"/>')
        said = f"{counts[step]} flip" + ("" if counts[step] == 1 else "s")
        parts.append(
            f'<g class="step{step}">{_word(one, "before", top + 28, 0)}{_word(other, "next", top + 62, one ^ other)}'
            f'<text class="right" x="{WIDTH - 12}" y="{top + 80}">{said}</text>'
            f'<text class="faint" x="12" y="{top + 118}">so far</text>'
            f'<text class="right" x="{WIDTH - 12}" y="{top + 118}">{done} flips, {done * FLIP_FJ:.0f} fJ</text></g>'
        )
    return "".join(parts)


def picture() -> str:
    """The SVG."""
    stored = weights()
    best = min(permutations(stored), key=lambda order: sum(flips(order)))
    largest = sum(flips(stored))
    said = f"Eight weights in two orders: {largest} bits flip as stored, {sum(flips(best))} in the best order."
    panels = _panel("as stored", stored, 8, largest) + _panel("in the best order", list(best), 8 + PANEL, largest)
    height = 2 * PANEL
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{said}">\n'
        f"<title>{said}</title>\n<style>{_style()}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>\n{panels}\n</svg>\n'
    )


if __name__ == "__main__":
    atomic_write(PICTURE, picture().encode())
