"""Codings: from the codes of an operand to what is on the wires of its port, and back.

Plain wires carry each code as it is. To add a coding, write a subclass of :class:`~fewflips.coding.coding.Coding` in a
package of your own and register it: by :func:`register_coding`, or by an entry point of the group ``fewflips.codings``.
"""

from fewflips.coding.coding import Coding, Wires
from fewflips.coding.registration import coding_named, coding_names, coding_of, register_coding

__all__ = ["Coding", "Wires", "coding_named", "coding_names", "coding_of", "register_coding"]
