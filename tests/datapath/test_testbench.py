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
from fewflips.datapath.verilog import module_name, verilog
from fewflips.errors import InputError, OutputError, ToolError
from fewflips.machine.accelerator import Operand
from fewflips.streams.codes import weight_codes
from tests.datapath.units import random_words
from tests.property_settings import examples

FORMATS = list(itertools.product(WordFormat, repeat=2))


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
    return Datapath(
        kind,
        weights,
        activations,
        lanes=draw(st.integers(1, 9)) if kind in ("column", "chain") else 1,
        accumulator_bits=draw(st.integers(max(8, weights.bits + activations.bits), 64)),
        multiplier=draw(st.sampled_from(["synthesizer", "booth"])),
        adder=draw(st.sampled_from(["tree", "one-sum"])) if kind == "column" else "tree",
        product_registers=kind == "column" and draw(st.booleans()),
        partial_sum_input=kind in ("column", "chain") and draw(st.booleans()),
        hold_flags=kind == "column" and draw(st.booleans()),
        activation_converter=(
            converter := kind != "multiplier"
            and activations.format is WordFormat.TWOS_COMPLEMENT
            and draw(st.booleans())
        ),
        bus_invert_ports=draw(st.sampled_from([(), ("weights",), () if converter else ("weights", "activations")]))
        if kind != "multiplier"
        else (),
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
