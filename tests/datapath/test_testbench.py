from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import fewflips
from fewflips.datapath import testbench as benches
from fewflips.datapath.arithmetic import PortWords
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.verilog import module_name, verilog
from fewflips.errors import InputError, OutputError, ToolError
from fewflips.machine.accelerator import Operand
from fewflips.streams.codes import weight_codes
from tests.datapath.units import random_words
from tests.property_settings import examples

FORMATS = list(itertools.product(WordFormat, repeat=2))
FORMATS_WITHOUT_MAGNITUDES = list(itertools.product((WordFormat.UNSIGNED, WordFormat.TWOS_COMPLEMENT), repeat=2))


def all_pairs(datapath):
    weights, activations = np.meshgrid(
        np.arange(1 << datapath.weights.bits, dtype=np.uint8), np.arange(1 << datapath.activations.bits, dtype=np.uint8)
    )
    return PortWords(weights.reshape(-1, 1), activations.reshape(-1, 1))


def test_small_multipliers_are_exact_for_every_pair_of_codes(iverilog):
    units = [
        Datapath("multiplier", Word(w, weight_bits), Word(a, activation_bits), multiplier=architecture)
        for w, a in FORMATS
        for architecture in ("synthesizer", "booth")
        for weight_bits, activation_bits in ((3, 3), (4, 4), (2, 5), (5, 2))
    ]
    results = benches.run_testbenches([(unit, all_pairs(unit)) for unit in units])
    assert [result.module for result in results if not result.passed] == []
    assert sum(result.checks for result in results) == 18 * (64 + 256 + 128 + 128)


words = st.builds(Word, st.sampled_from(WordFormat), st.integers(2, 16))


@st.composite
def datapaths(draw):
    kind = draw(st.sampled_from(["multiplier", "mac", "column", "chain"]))
    weights, activations = draw(words), draw(words)
    planes = WordFormat.SIGN_MAGNITUDE not in (weights.format, activations.format)
    adders = ["tree", "one-sum", *(["bit-planes"] if planes else [])]
    adder = draw(st.sampled_from(adders)) if kind == "column" else "tree"
    partial_sum = kind in ("column", "chain") and draw(st.booleans())
    converter = (
        kind != "multiplier"
        and adder != "bit-planes"
        and activations.format is WordFormat.TWOS_COMPLEMENT
        and draw(st.booleans())
    )
    coded = [(), ("weights",), *(() if converter else (("activations",), ("weights", "activations")))]
    behind_tree = kind == "column" and adder != "one-sum" and partial_sum
    return Datapath(
        kind,
        weights,
        activations,
        lanes=draw(st.integers(1, 9)) if kind in ("column", "chain") else 1,
        accumulator_bits=draw(st.integers(max(8, weights.bits + activations.bits), 64)),
        multiplier="synthesizer" if adder == "bit-planes" else draw(st.sampled_from(["synthesizer", "booth"])),
        adder=adder,
        product_registers=kind == "column" and adder != "bit-planes" and draw(st.booleans()),
        partial_sum_input=partial_sum,
        zero_gating=kind == "column" and adder == "tree" and draw(st.booleans()),
        tree_register=behind_tree and draw(st.booleans()),
        offset_sums=behind_tree and (weights.signed or activations.signed) and draw(st.booleans()),
        sign_flags=behind_tree and weights.signed and draw(st.booleans()),
        hold_flags=kind == "column" and draw(st.booleans()),
        activation_converter=converter,
        bus_invert_ports=draw(st.sampled_from(coded)) if kind != "multiplier" and adder != "bit-planes" else (),
    )


@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(datapaths(), min_size=6, max_size=12, unique_by=module_name), st.integers(0, 2**32))
def test_units_of_all_parameters_compute_what_integers_do(iverilog, units, seed):
    results = benches.run_testbenches([(unit, random_words(unit, 40, seed)) for unit in units])
    assert [result for result in results if not result.passed] == []


def test_held_weights_stay_in_their_registers(iverilog):
    word = Word(WordFormat.TWOS_COMPLEMENT, 8)
    unit = Datapath("column", word, word, lanes=4, partial_sum_input=True, hold_flags=True)
    words = random_words(unit, 200, 3)
    assert not words.load.all()
    assert benches.run_testbench(unit, words).passed
    always = benches.run_testbench(unit, replace(words, load=np.ones_like(words.load)), sources=[verilog(unit)])
    assert always.passed
    wrong = verilog(unit).replace("if (load[2])", "if (load[1])")
    assert not benches.run_testbench(unit, words, sources=[wrong]).passed


def test_units_without_hold_flags_compute_the_same_where_words_repeat(iverilog):
    word = Word(WordFormat.TWOS_COMPLEMENT, 8)
    unit = Datapath("column", word, word, lanes=3, hold_flags=True)
    words = random_words(unit, 100, 4)
    words = replace(words, weights=words.weights[np.sort(np.random.default_rng(0).integers(0, 30, 100))])
    load = np.ones_like(words.load)
    load[1:] = words.weights[1:] != words.weights[:-1]
    assert (~load).sum() > 100
    gated = benches.run_testbench(unit, replace(words, load=load))
    plain = benches.run_testbench(unit.ungated, replace(words, load=None))
    assert gated.passed
    assert plain.passed
    assert gated.checks == plain.checks
    found = benches.expected_outputs(unit, replace(words, load=load))
    assert found.tolist() == benches.expected_outputs(unit.ungated, replace(words, load=None)).tolist()


def test_column_with_the_weights_of_mobilenet(iverilog, shared):
    network = fewflips.load(shared / "models" / "mobilenet_v2_1.0_224_quant.tflite")
    rng = np.random.default_rng(3)
    for weights, architecture in (
        (Word(WordFormat.TWOS_COMPLEMENT, 9), "synthesizer"),
        (Word(WordFormat.SIGN_MAGNITUDE, 9), "booth"),
    ):
        unit = Datapath("column", weights, Word(WordFormat.UNSIGNED, 8), lanes=16, multiplier=architecture)
        segments = []
        for layer in network.layers[:6]:
            codes, _ = weight_codes(layer, Operand(format=weights.format.number_format, bits=9))
            padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 16)))
            segments += [padded[:, lane : lane + 16] for lane in range(0, padded.shape[1], 16)]
        stream = np.concatenate(segments)
        activations = rng.integers(0, 256, stream.shape).astype(np.uint8)
        result = benches.run_testbench(unit, PortWords(stream, activations))
        assert result.passed
        assert result.checks == len(stream) > 400


def broken(text, right, wrong):
    assert right in text
    return text.replace(right, wrong)


def test_a_unit_that_is_wrong_fails(iverilog):
    signed = Word(WordFormat.TWOS_COMPLEMENT, 4)
    mac = Datapath("mac", signed, signed)
    no_clear = broken(verilog(mac), "clear_register ?", "clear ?")
    result = benches.run_testbench(mac, random_words(mac, 100, 1), sources=[no_clear])
    assert not result.passed
    assert result.checks == 100
    assert len(result.first_mismatches) == 5
    # The product of -8 and -8 is the only one that does not fit 7 bits.
    unit = Datapath("multiplier", signed, signed)
    wrong_once = broken(
        verilog(unit),
        "assign product = factors_product;",
        "assign product = {factors_product[6], factors_product[6:0]};",
    )
    result = benches.run_testbench(unit, all_pairs(unit), sources=[wrong_once])
    assert (result.checks, result.mismatches) == (256, 1)
    assert result.first_mismatches == ("cycle 136: expected 40, got c0",)


def test_a_column_that_is_a_cycle_late_fails(iverilog):
    unit = Datapath("column", Word(WordFormat.UNSIGNED, 4), Word(WordFormat.UNSIGNED, 4), lanes=2)
    late = broken(verilog(unit), "sum <= sum_of_products", "sum <= #300 sum_of_products")
    assert not benches.run_testbench(unit, random_words(unit, 50, 1), sources=[late]).passed


def words_with_zeros(datapath, cycles):
    """Random words, in which nearly half of the activations are zero, or the negative zero of sign-magnitude codes."""
    words = random_words(datapath, cycles, 8)
    rng = np.random.default_rng(9)
    negative_zero = 1 << (datapath.activations.bits - 1)
    zeros = negative_zero * rng.integers(0, 2, words.activations.shape)
    if datapath.activations.format is not WordFormat.SIGN_MAGNITUDE:
        zeros[:] = 0
    chosen = np.where(rng.random(words.activations.shape) < 0.45, zeros, words.activations)
    return replace(words, activations=chosen.astype(np.uint16))


@pytest.mark.parametrize("multiplier", ["synthesizer", "booth"])
def test_gated_columns_compute_the_same(iverilog, multiplier):
    units = [
        Datapath("column", Word(w, 5), Word(a, 4), lanes=3, multiplier=multiplier, zero_gating=True) for w, a in FORMATS
    ]
    results = benches.run_testbenches([(unit, words_with_zeros(unit, 80)) for unit in units])
    assert [result for result in results if not result.passed] == []


@pytest.mark.parametrize("gated", [False, True])
def test_weights_do_not_reach_a_multiplier_whose_activation_is_zero(iverilog, tmp_path, gated):
    unit = Datapath("column", Word(WordFormat.TWOS_COMPLEMENT, 4), Word(WordFormat.UNSIGNED, 4), 2, zero_gating=gated)
    module, _, product = verilog(unit).rpartition("endmodule")
    watched = f'{module}    always @(weight) $display("weight %b", weight);\nendmodule{product}'
    words = PortWords(np.array([[3, 5], [6, 9]] * 3, np.uint8), np.array([[0, 2]] * 6, np.uint8))
    bench = benches.testbench(unit, words)
    printed = simulate_verilog([watched, bench.verilog], "testbench", {bench.stimulus_file: bench.stimulus}, tmp_path)
    assert f"PASS {module_name(unit)}" in printed
    shown = {line.split()[1] for line in printed.splitlines() if line.startswith("weight")}
    assert shown - {"xxxx"} == {"0101", "1001"} | ({"0000"} if gated else {"0011", "0110"})


@pytest.mark.parametrize("product_registers", [False, True])
@pytest.mark.parametrize("tree_register", [False, True])
@pytest.mark.parametrize("offset_sums", [False, True])
@pytest.mark.parametrize("sign_flags", [False, True])
def test_columns_with_all_that_stands_behind_the_tree(
    iverilog, product_registers, tree_register, offset_sums, sign_flags
):
    units = [
        Datapath(
            "column",
            Word(weights, 5),
            Word(activations, 6),
            lanes=lanes,
            accumulator_bits=bits,
            product_registers=product_registers,
            partial_sum_input=True,
            tree_register=tree_register,
            offset_sums=offset_sums,
            sign_flags=sign_flags,
        )
        for weights, activations in FORMATS
        for lanes, bits in ((1, 11), (3, 12), (4, 20))
        if not offset_sums or WordFormat.UNSIGNED not in (weights, activations) or weights != activations
        if not sign_flags or weights is not WordFormat.UNSIGNED
    ]
    results = benches.run_testbenches([(unit, random_words(unit, 60, 5)) for unit in units])
    assert [result for result in results if not result.passed] == []


@pytest.mark.parametrize(("weights", "activations"), FORMATS_WITHOUT_MAGNITUDES)
def test_bit_planes_are_exact_for_every_pair_of_codes(iverilog, weights, activations):
    units, words = [], []
    for options in ({}, {"partial_sum_input": True, "tree_register": True}):
        unit = Datapath(
            "column", Word(weights, 4), Word(activations, 3), accumulator_bits=8, adder="bit-planes", **options
        )
        pairs = all_pairs(unit)
        sums = np.arange(128) * 37 if options else None
        words.append(PortWords(pairs.weights, pairs.activations, sums))
        units.append(unit)
    assert [one.passed for one in benches.run_testbenches(list(zip(units, words, strict=True)))] == [True, True]


@pytest.mark.parametrize(("offset_sums", "sign_flags"), [(False, False), (True, False), (False, True), (True, True)])
def test_bit_planes_of_many_lanes_and_widths(iverilog, offset_sums, sign_flags):
    units = [
        Datapath(
            "column",
            Word(weights, weight_bits),
            Word(activations, activation_bits),
            lanes=lanes,
            accumulator_bits=bits,
            adder="bit-planes",
            partial_sum_input=True,
            offset_sums=offset_sums,
            sign_flags=sign_flags,
        )
        for weights, activations in FORMATS_WITHOUT_MAGNITUDES
        for lanes, weight_bits, activation_bits, bits in ((1, 2, 2, 8), (3, 5, 4, 9), (7, 8, 9, 24), (16, 9, 8, 21))
        if not offset_sums or WordFormat.TWOS_COMPLEMENT in (weights, activations)
        if not sign_flags or weights is WordFormat.TWOS_COMPLEMENT
    ]
    results = benches.run_testbenches([(unit, random_words(unit, 60, 2)) for unit in units])
    assert [result for result in results if not result.passed] == []


NETLIST = """
module multiplier_unsigned2_by_unsigned2 (weights, activations, product);
    input [1:0] weights, activations;
    output [3:0] product;
    wire high_low, low_high, carry, high_high;
    AND2 g0 (.A(weights[0]), .B(activations[0]), .Y(product[0]));
    AND2 g1 (.A(weights[1]), .B(activations[0]), .Y(high_low));
    AND2 g2 (.A(weights[0]), .B(activations[1]), .Y(low_high));
    AND2 g3 (.A(weights[1]), .B(activations[1]), .Y(high_high));
    HALF_ADDER g4 (.A(high_low), .B(low_high), .S(product[1]), .C(carry));
    HALF_ADDER g5 (.A(high_high), .B(carry), .S(product[2]), .C(product[3]));
endmodule
"""
CELLS = """
`timescale 1ns / 1ps
module AND2 (input A, input B, output Y);
    assign #0.04 Y = A & B;
endmodule
module HALF_ADDER (input A, input B, output S, output C);
    assign #0.07 {C, S} = A + B;
endmodule
"""


def test_a_netlist_of_cells_stands_in_for_the_unit(iverilog):
    unit = Datapath("multiplier", Word(WordFormat.UNSIGNED, 2), Word(WordFormat.UNSIGNED, 2))
    assert benches.run_testbench(unit, all_pairs(unit), sources=[NETLIST, CELLS]) == benches.TestbenchResult(
        module_name(unit), 16, 0
    )
    crossed = broken(NETLIST, "g3 (.A(weights[1])", "g3 (.A(weights[0])")
    result = benches.run_testbench(unit, all_pairs(unit), sources=[crossed, CELLS])
    # wrong where both have bit 1 and the weight lacks bit 0 (4 of 16 pairs: weight 2), or weight 1 has it alone
    assert result.mismatches == 4


def test_stimulus_has_a_line_a_cycle():
    unit = Datapath("mac", Word(WordFormat.TWOS_COMPLEMENT, 5), Word(WordFormat.UNSIGNED, 3), accumulator_bits=10)
    words = PortWords(np.array([[31]], np.uint8), np.array([[6]], np.uint8), clear=np.array([True]))
    # expected, clear, activation, weight; -6 in 10 bits is 3fa, and after it -12, since the words stay
    assert benches.testbench(unit, words).stimulus == "000_1_6_1f\n000_1_6_1f\n3fa_1_6_1f\n"


def test_written_files_run_as_their_header_says(iverilog, tmp_path):
    unit = Datapath("chain", Word(WordFormat.SIGN_MAGNITUDE, 4), Word(WordFormat.UNSIGNED, 3), lanes=3)
    paths = benches.write_rtl(unit, random_words(unit, 20, 0), tmp_path / "rtl")
    name = module_name(unit)
    assert [path.name for path in paths] == [f"{name}.v", f"{name}_testbench.v", f"{name}_stimulus.hex"]
    command = next(line for line in paths[0].read_text().splitlines() if "iverilog" in line).lstrip("/ ")
    printed = subprocess.run(command, shell=True, cwd=tmp_path / "rtl", capture_output=True, text=True, check=True)
    assert printed.stdout == f"PASS {name}: 20 checks\n"


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    unit = Datapath("mac", Word(WordFormat.UNSIGNED, 4), Word(WordFormat.UNSIGNED, 4))
    with pytest.raises(OutputError, match=r"file/rtl: cannot be made: Not a directory; choose another --output"):
        benches.write_rtl(unit, random_words(unit, 3, 0), tmp_path / "file" / "rtl")


def test_a_mac_that_is_never_cleared_is_refused():
    unit = Datapath("mac", Word(WordFormat.UNSIGNED, 4), Word(WordFormat.UNSIGNED, 4))
    words = random_words(unit, 3, 0)
    never = PortWords(words.weights, words.activations, clear=np.zeros(3, dtype=bool))
    with pytest.raises(InputError, match="clear: expected at least one cycle that clears the accumulator, got none"):
        benches.testbench(unit, never)


def test_the_same_unit_twice_is_refused():
    unit = Datapath("mac", Word(WordFormat.UNSIGNED, 4), Word(WordFormat.UNSIGNED, 4))
    with pytest.raises(InputError, match="expected units that differ, got mac_unsigned4_by_unsigned4_sum32 twice"):
        benches.run_testbenches([(unit, random_words(unit, 3, 0))] * 2)


def test_sources_that_end_the_simulation_give_no_verdict(iverilog):
    unit = Datapath("multiplier", Word(WordFormat.UNSIGNED, 2), Word(WordFormat.UNSIGNED, 2))
    ending = broken(NETLIST, "    AND2 g0", "    initial $finish;\n    AND2 g0")
    with pytest.raises(ToolError, match="expected PASS or FAIL, got 'nothing'"):
        benches.run_testbench(unit, all_pairs(unit), sources=[ending, CELLS])
