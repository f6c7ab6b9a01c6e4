"""Writes a Liberty file of seven cells with made-up figures: `python small_library.py FILE`."""

import sys

HEAD = """library (small) {
  delay_model : table_lookup;
  time_unit : "1ns";
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  capacitive_load_unit (1, pf);
  nom_process : 1;
  nom_voltage : 0.8;
  nom_temperature : 25;
  operating_conditions (typical) { process : 1; voltage : 0.8; temperature : 25; }
  default_operating_conditions : typical;
  lu_table_template (delay) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0.005, 0.1");
    index_2 ("0.0005, 0.02");
  }
  power_lut_template (energy) {
    variable_1 : input_transition_time;
    index_1 ("0.005, 0.1");
  }
"""

GATES = {
    "INV": ("A", "!A", 0.5),
    "BUF": ("A", "A", 0.9),
    "NAND2": ("A B", "!(A & B)", 0.8),
    "NOR2": ("A B", "!(A | B)", 0.8),
    "XOR2": ("A B", "A ^ B", 1.6),
    "XNOR2": ("A B", "!(A ^ B)", 1.6),
}
"""Inputs, function, and size: what area, delay, energy and leakage are proportional to."""


def timing(pin, size, kind="combinational"):
    near, far = 0.01 * size, 0.01 * size + 0.08
    values = f'values ("{near}, {far}", "{near + 0.02}, {far + 0.02}");'
    tables = "".join(
        f" {table} (delay) {{ {values} }}" for table in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    return f'timing () {{ related_pin : "{pin}"; timing_type : {kind};{tables} }}'


def power(size, related=""):
    values = f'values ("{0.0005 * size}, {0.0006 * size}");'
    return f"internal_power () {{{related} rise_power (energy) {{ {values} }} fall_power (energy) {{ {values} }} }}"


def gate(name, inputs, function, size):
    pins = "".join(f"    pin ({pin}) {{ direction : input; capacitance : {0.0006 * size}; }}\n" for pin in inputs)
    arcs = " ".join(timing(pin, size) + " " + power(size, f' related_pin : "{pin}";') for pin in inputs)
    output = f'    pin (Y) {{ direction : output; function : "{function}"; {arcs} }}\n'
    return f"  cell ({name}) {{\n    area : {size}; cell_leakage_power : {5 * size};\n{pins}{output}  }}\n"


CLOCKED = timing("CK", 3.0, "rising_edge") + " " + power(2.0, ' related_pin : "CK";')
FLIP_FLOP = f"""  cell (DFF) {{
    area : 4; cell_leakage_power : 20;
    ff (IQ, IQN) {{ next_state : "D"; clocked_on : "CK"; }}
    pin (D) {{ direction : input; capacitance : 0.001; {power(1.0)} }}
    pin (CK) {{ direction : input; clock : true; capacitance : 0.001; {power(1.0)} }}
    pin (Q) {{ direction : output; function : "IQ"; {CLOCKED} }}
  }}
"""

cells = "".join(gate(name, inputs.split(), function, size) for name, (inputs, function, size) in GATES.items())
with open(sys.argv[1], "w") as file:
    file.write(HEAD + cells + FLIP_FLOP + "}\n")
