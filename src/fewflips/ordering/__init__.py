"""Short orders: shortest Hamiltonian paths in the Hamming metric, with a certificate."""

from fewflips.ordering.construct import greedy_path, natural
from fewflips.ordering.cover import path_cover_bound
from fewflips.ordering.effort import Effort
from fewflips.ordering.instances import order_distances, order_segments
from fewflips.ordering.metric import hamming_distance_matrix
from fewflips.ordering.path import PathResult, shortest_path, shortest_word_path

__all__ = [
    "Effort",
    "PathResult",
    "greedy_path",
    "hamming_distance_matrix",
    "natural",
    "order_distances",
    "order_segments",
    "path_cover_bound",
    "shortest_path",
    "shortest_word_path",
]
