"""How many tokens a network without a graph processes at once: one in decoding, a prompt's in prefill."""

from __future__ import annotations

from dataclasses import replace

from fewflips.errors import InputError
from fewflips.network.graph import Network

TOKENS = 1
"""Where nothing else is said: decoding, in which each weight is used once."""
MAX_TOKENS = 2**20


def tokens_text(tokens: int) -> str:
    """How notes say it."""
    if tokens == 1:
        return "each matrix is counted as a product with 1 token, as in decoding"
    return f"each matrix is counted as a product with {tokens} tokens, as in prefill"


def with_tokens(network: Network, tokens: int) -> Network:
    """The same layers with as many rows as there are tokens.

    Parameters
    ----------
    network : Network
        A network whose file has no graph.
    tokens : int
        Tokens that are processed at once.

    Returns
    -------
    Network
        M of each layer, and MACs of what is left out, for that many tokens. Tables that serve as output heads are
        among the layers, and count for each token too.

    Raises
    ------
    InputError
        If the file itself says how many rows its products have, or the number is not between 1 and 2^20.
    """
    if not 1 <= tokens <= MAX_TOKENS:
        raise InputError(f"tokens: expected 1 to {MAX_TOKENS}, got {tokens}")
    if network.tokens is None:
        raise InputError(
            f"{network.path}: tokens: expected a file without a graph (GGUF, a folder of safetensors), got "
            f"{network.file_format}, whose shapes say how many rows its products have: leave the number out"
        )
    if tokens == network.tokens:
        return network
    return replace(
        network,
        layers=tuple(
            replace(layer, left=replace(layer.left, shape=(layer.m // network.tokens * tokens, layer.k)))
            for layer in network.layers
        ),
        notes=tuple(note.replace(tokens_text(network.tokens), tokens_text(tokens)) for note in network.notes),
        left_out=tuple(
            replace(one, macs=None if one.macs is None else one.macs // network.tokens * tokens)
            for one in network.left_out
        ),
        tokens=tokens,
    )
