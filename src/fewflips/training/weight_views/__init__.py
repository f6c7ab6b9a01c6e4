"""The weights of a network in training, seen as the integers produced by its quantizers.

One :class:`WeightView` represents one convolution or linear layer, whichever library quantizes it: plain PyTorch
(the usual symmetric quantization is assumed), Brevitas, torchao's quantization-aware training, or fewflips' own
layers. Neither Brevitas nor torchao is imported unless the network already uses it.
"""

from fewflips.training.weight_views.search import layers_passed_over, weight_views
from fewflips.training.weight_views.view import WeightView

__all__ = ["WeightView", "layers_passed_over", "weight_views"]
