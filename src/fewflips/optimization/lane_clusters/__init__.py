"""Which channels share a segment, together with the orders of all segments."""

from fewflips.optimization.lane_clusters.effort import ClusterEffort
from fewflips.optimization.lane_clusters.problem import LaneUse
from fewflips.optimization.lane_clusters.search import Clusters, cluster_channels

__all__ = ["ClusterEffort", "Clusters", "LaneUse", "cluster_channels"]
