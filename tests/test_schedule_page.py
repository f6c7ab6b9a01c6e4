"""The example of docs/schedule.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from fewflips.schedule.binary import encode_schedule
from tests.test_binary_schedule import LANES_AT, small

PAGE = Path(__file__).parents[1] / "docs" / "schedule.md"


def test_the_example_prints_what_the_page_says_and_reads_a_real_file(capsys):
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL).groups()
    names: dict = {}
    exec(code, names)
    assert capsys.readouterr().out == printed
    content = encode_schedule(small())
    lanes, end = names["indices"](content, LANES_AT)
    order, _ = names["indices"](content, end)
    segment = small().layers[0].segments[0]
    assert (tuple(lanes), tuple(order)) == (segment.lanes, segment.order)
