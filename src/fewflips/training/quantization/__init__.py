"""From a float network to one that computes with quantized weights and activations."""
