from __future__ import annotations

import pytest

from fewflips.files.json_text import parse_json


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_any_encoding_of_json_is_read(encoding: str):
    assert parse_json('{"name": "Zürich \\ud83d\\ude00"}'.encode(encoding)) == {"name": "Zürich 😀"}


@pytest.mark.parametrize("text", [b'"\\ud800"', b'{"\\udfff": 1}', b'["\\ud83d x"]', b'"\xed\xa0\x80"'])
def test_half_a_surrogate_pair_is_refused(text: bytes):
    with pytest.raises(ValueError) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000, b"{a: 1}", b"1 2"])
def test_what_is_no_json_is_refused(text: bytes):
    with pytest.raises(ValueError):
        parse_json(text)
