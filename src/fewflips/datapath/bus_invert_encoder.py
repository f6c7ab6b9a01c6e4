"""The encoder in front of a bus-invert port, as synthesizable Verilog.

That of one lane is without registers: what its lane's wires held in the cycle before is an input. The register behind
the wires holds it; where that register is inside of a unit, the encoder of a port keeps a copy.
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


def port_encoder_name(lanes: int, bits: int) -> str:
    """Name of the module of a port's encoders.

    Examples
    --------
    >>> port_encoder_name(4, 8)
    'bus_invert_port_4_lanes_8'
    """
    return f"bus_invert_port_{lanes}_lane{'s' if lanes > 1 else ''}_{bits}"


def port_encoder_verilog(lanes: int, bits: int) -> str:
    """Verilog-2005 of the encoders of all lanes of a port, with registers that hold what the wires held.

    Parameters
    ----------
    lanes : int
        Words of a cycle.
    bits : int
        Width of a word.

    Returns
    -------
    str
        A module that instantiates the encoder of one lane, with the inputs ``clk``, ``reset`` (synchronous: the wires
        count as zero before the first word), ``valid`` and ``words``, and the outputs ``wires`` and ``flags``, which
        follow the words in the same cycle. Without ``valid``, words are those of the cycle before.
    """
    return render(
        "bus_invert_port.v.j2",
        name=port_encoder_name(lanes, bits),
        encoder=encoder_name(bits),
        lanes=lanes,
        bits=bits,
    )
