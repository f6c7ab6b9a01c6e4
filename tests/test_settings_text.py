from __future__ import annotations

import tracemalloc
from contextlib import suppress

import pytest

from fewflips.files.settings_text import LARGEST_BYTES, parse_settings


def merges(levels: int) -> str:
    """Mappings of which each merges the one before it twice; the keys double at every level."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}], k{level}: 1}}" for level in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "merges of one": "a: &a {x: 1}\n" + "\n".join(f"b{i}: {{<<: [{', '.join(['*a'] * 50)}]}}" for i in range(40)),
    "lists in lists": "[" * 20_000,
    "mappings in mappings": "{a: " * 10_000,
    "aliases": "a: &a 1\nb: [" + "*a, " * 2000 + "]",
    "size": "a: " + "x" * LARGEST_BYTES,
    "an integer in base 60": "a: 1" + ":1" * (LARGEST_BYTES // 2),
    "digits": "a: " + "1" * 5000,
    "a tag": "a: !!python/object/apply:os.system ['true']",
    "a timestamp": "a: 2001-99-99",
    "a tag that does not fit": "!!timestamp [1]",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_yaml_bombs_are_refused_in_little_memory(bomb: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError) as caught:
        parse_settings(BOMBS[bomb], "YAML")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    assert peak < 32 << 20


def test_merges_take_little_memory() -> None:
    """Recent releases of PyYAML know what was merged before; others double it until the limit is met."""
    tracemalloc.start()
    with suppress(ValueError):
        parse_settings(merges(60), "YAML")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


TOML_BOMBS = {
    "lists in lists": "a = " + "[" * 900 + "]" * 90,
    "nested over lines": "a = " + "[\n" * 20_000,
    "a key of many parts": "a" + ".a" * 20_000 + " = 1",
    "a table of many parts": "[a" + ".a" * 20_000 + "]",
    "size": "a = '" + "\n" * LARGEST_BYTES,
    "digits": "a = " + "1" * 5000,
}


@pytest.mark.parametrize("bomb", TOML_BOMBS)
def test_toml_bombs_are_refused_in_little_memory(bomb: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError) as caught:
        parse_settings(TOML_BOMBS[bomb], "TOML")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    assert peak < 32 << 20


def test_aliases_and_merges_of_people_are_read() -> None:
    text = "common: &common {lanes: 4, columns: 4}\nfirst: {<<: *common, columns: 8}\nsecond: *common\n"
    common = {"lanes": 4, "columns": 4}
    assert parse_settings(text, "YAML") == {"common": common, "first": {"lanes": 4, "columns": 8}, "second": common}
    assert parse_settings('a.b = [1, 2]\n[c]\nd = "x"\n', "TOML") == {"a": {"b": [1, 2]}, "c": {"d": "x"}}


@pytest.mark.parametrize("text", ['a: "\\ud800"', '"\\udfff": 1', 'a: ["\\ud83d"]'])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="half a surrogate pair"):
        parse_settings(text, "YAML")
