"""What share of a network its layers are."""

import dataclasses

from fewflips import load
from fewflips.api.measure import measure
from fewflips.network.graph import LeftOut
from fewflips.records.coverage import LeftOutProducts, coverage_of
from fewflips.report.html.page import render_html
from tests.network import build_tflite as small
from tests.report.sample_reports import optimize_report

TWO = "it multiplies two activations"


def network(tmp_path, *left_out: LeftOut):
    path = tmp_path / "m.tflite"
    path.write_bytes(small.branching())
    return dataclasses.replace(load(path), left_out=left_out)


def test_a_network_of_which_nothing_is_left_out(tmp_path):
    found = coverage_of(network(tmp_path))
    assert (found.left_out_products, found.left_out_macs, found.unknown_products, found.share) == (0, 0, 0, 1.0)
    assert found.left_out == ()


def test_products_left_out_are_grouped_and_summed(tmp_path):
    whole = network(
        tmp_path,
        LeftOut("a", "MatMul", TWO, 30),
        LeftOut("b", "Attention", "Attention is not supported", None),
        LeftOut("c", "MatMul", TWO, 12),
        LeftOut("d", "MatMul", TWO, None),
    )
    macs = sum(layer.macs for layer in whole.layers)
    found = measure(whole, "edge4").coverage
    assert found is not None
    assert (found.products, found.macs) == (len(whole.layers), macs)
    assert (found.left_out_products, found.left_out_macs, found.unknown_products) == (4, 42, 2)
    assert found.share == macs / (macs + 42)
    assert found.left_out == (
        LeftOutProducts(operator="MatMul", reason=TWO, names=("a", "c", "d"), macs=42, unknown=1),
        LeftOutProducts(operator="Attention", reason="Attention is not supported", names=("b",), macs=0, unknown=1),
    )


def test_layers_that_a_report_is_not_about_are_left_out(tmp_path):
    whole = network(tmp_path)
    found = coverage_of(whole, whole.layers[1:], "its activations are not integers in the file")
    assert found.products == len(whole.layers) - 1
    assert found.left_out_macs == whole.layers[0].macs
    assert found.left_out[0].names == (whole.layers[0].name,)


def test_the_page_says_it_above_everything_else():
    report = optimize_report(12)
    page = render_html(report)
    assert report.coverage is not None
    sentence = page.index("Counted: 90.0\u202f% of the network&#39;s MACs")
    assert page.index("<h1>") < sentence < page.index('class="lead"') < page.index("<table")
    assert "Counted" not in render_html(report.model_copy(update={"coverage": None}))
