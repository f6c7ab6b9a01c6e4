"""Which numbers count as figures, and how fragments hold them."""

from __future__ import annotations

import pytest
from scripts.figures.prose import Exemption, PageRegistry, read_registry, renewed, unregistered

from fewflips.errors import InputError

NOTHING = PageRegistry()
FACTS = {"orders/mobilenet/ratio": 1.4378, "orders/mobilenet/bytes": 2_088_000, "orders/best": 9}


def found(text: str, registry: PageRegistry = NOTHING) -> list[str]:
    return [line.split("'")[1] for line in unregistered(text, registry, NOTHING)]


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("takes 1.44x less", ["1.44x"]),
        ("saves 17 to 34 % of the flips", ["34 %"]),
        ("in 3\nminutes", ["3 minutes"]),
        ("has 12,835,015 flips, or 1048576", ["12,835,015", "1048576"]),
        ("by -0.43 points, within ±0.19", ["-0.43 points", "±0.19"]),
        ("MobileNetV2 for CIFAR-10 with 32x32 images, 53 layers, 8 bits, of 2021", []),
        ("`--share 0.5` in [the result](https://example.org/1.5x)", []),
        ("```sh\nfewflips optimize  # 1.5x\n```", []),
        ("```text\n1.5x fewer\n```", ["1.5x"]),
        ("```python\nprint(fewer)\n```\n\n```text\n1.5x fewer\n```", []),
        ("<!-- table: networks -->\n\n| 1.5x |\n\n<!-- end of table: networks -->", []),
        ("| 1.5x |", ["1.5x"]),
    ],
)
def test_numbers_that_are_figures(text: str, figures: list[str]) -> None:
    assert [" ".join(one.replace("\\n", " ").split()) for one in found(text)] == figures


def test_a_figure_of_a_record_is_held() -> None:
    held = ("takes {orders/mobilenet/ratio:.2f}x less, best {orders/best}x",)
    assert found("takes 1.44x\nless, best 9x", PageRegistry(held)) == []
    assert renewed("It takes 1.50x\nless, best 8x.", held, FACTS) == "It takes 1.44x\nless, best 9x."


def test_figures_are_scaled() -> None:
    assert renewed("has 1.0 MB", ("has {orders/mobilenet/bytes*1e-6:.1f} MB",), FACTS) == "has 2.1 MB"


def test_literal_figures_of_a_held_fragment_are_not_held() -> None:
    held = ("takes {orders/mobilenet/ratio:.2f}x less than 2.85x",)
    assert found("takes 1.44x less than 2.85x", PageRegistry(held)) == ["2.85x"]


def test_exemptions_have_a_reason_and_are_on_the_page(tmp_path) -> None:
    exempt = (Exemption("the paper's", text="2.85x on average"), Exemption("settings", section="Settings"))
    text = "2.85x on\naverage\n\n## Settings\n\n5.5 ms\n\n### More\n\n6.5 ms\n\n## Else\n\n7.5 ms\n"
    assert found(text, PageRegistry((), exempt)) == ["7.5 ms"]
    with pytest.raises(InputError, match="not on the page"):
        unregistered("nothing", PageRegistry((), exempt), NOTHING)
    (tmp_path / "registry.toml").write_text('["page.md"]\nexempt = [{ text = "1.5x", why = "" }]\n')
    with pytest.raises(InputError, match="expected `why`"):
        read_registry(tmp_path / "registry.toml")


@pytest.mark.parametrize(("text", "template"), [("", "takes {orders/best}x"), ("takes 9x", "takes {orders/none}x")])
def test_fragments_must_be_on_the_page_and_figures_known(text: str, template: str) -> None:
    with pytest.raises(InputError):
        renewed(text, (template,), FACTS)
