"""The Verilog of register files against a list of words, in Icarus Verilog."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.datapath.icarus import simulate_verilog
from fewflips.datapath.register_file import RegisterFile, register_file_verilog
from fewflips.errors import InputError

BENCH = """
module bench;
    reg clk = 0, write, read;
    reg [{a}-1:0] write_address, read_address;
    reg [{b}-1:0] write_data;
    wire [{b}-1:0] read_data;
    wire [{e}*{b}-1:0] contents;
    {name} file (clk, write, write_address, write_data, read, read_address, read_data, contents);
    reg [{row}-1:0] rows [0:{last}];
    integer i;
    initial begin
        $readmemb("rows.txt", rows);
        for (i = 0; i <= {last}; i = i + 1) begin
            clk = 1; {{write, write_address, write_data, read, read_address}} <= rows[i];  // as registers do
            #1 clk = 0;
            #1 $display("%b %b", read_data, contents);
        end
    end
endmodule
"""


@pytest.mark.parametrize(("entries", "bits"), [(1, 3), (2, 8), (5, 26), (16, 7), (33, 1)])
def test_words_are_those_of_a_list(iverilog: str, entries: int, bits: int):
    file = RegisterFile(entries, bits)
    a = file.address_bits
    generator = np.random.default_rng(entries)
    rows, cycles = [], 200
    for cycle in range(cycles):
        at = cycle if cycle < entries else int(generator.integers(entries))  # first of all every entry
        data, to = int(generator.integers(1 << bits)), int(generator.integers(entries))
        rows.append(
            (1 if cycle < entries else int(generator.random() < 0.6), at, data, int(generator.random() < 0.6), to)
        )
    text = "\n".join(f"{w:01b}{at:0{a}b}{data:0{bits}b}{r:01b}{to:0{a}b}" for w, at, data, r, to in rows)
    bench = BENCH.format(a=a, b=bits, e=entries, name=file.module_name, row=2 + 2 * a + bits, last=cycles - 1)
    shown = simulate_verilog([register_file_verilog(file), bench], "bench", {"rows.txt": text + "\n"}).splitlines()
    words: list[int | None] = [None] * entries
    for (write, at, data, read, to), line in zip(rows, shown, strict=True):
        read_data, contents = line.split()
        if not read:
            assert read_data == "0" * bits
        elif words[to] is not None:
            assert int(read_data, 2) == words[to]
        for entry, word in enumerate(words):
            if word is not None:
                assert int(contents[len(contents) - (entry + 1) * bits : len(contents) - entry * bits], 2) == word
        if write:
            words[at] = data


@pytest.mark.parametrize(("entries", "bits"), [(0, 8), (8, 0), (1024, 26)])
def test_files_that_are_memories_are_refused(entries: int, bits: int):
    with pytest.raises(InputError, match=rf"up to 16384 bits, got {entries} entries of {bits} bits"):
        RegisterFile(entries, bits)
