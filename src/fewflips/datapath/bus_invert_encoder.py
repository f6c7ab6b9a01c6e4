"""The encoder in front of a bus-invert port, as synthesizable Verilog: one lane, without registers.

What its lane's wires held in the cycle before is an input: the register behind the wires holds it.
"""

from __future__ import annotations

from fewflips.datapath.verilog import render


def encoder_name(bits: int) -> str:
    """Name of the encoder's module.

    Examples
    --------
    >>> encoder_name(8)
    'bus_invert_encoder_8'
    """
    return f"bus_invert_encoder_{bits}"


def encoder_verilog(bits: int) -> str:
    """Verilog-2005 of an encoder.

    Parameters
    ----------
    bits : int
        Width of a word.

    Returns
    -------
    str
        A module with the inputs ``word`` and ``before`` (the wires, and the flag as the highest bit) and the outputs
        ``wires`` and ``flag``. The word goes inverted where more than half of its wires would change otherwise, the
        flag counted among them.
    """
    return render("bus_invert_encoder.v.j2", name=encoder_name(bits), bits=bits, count_bits=(bits + 1).bit_length())
