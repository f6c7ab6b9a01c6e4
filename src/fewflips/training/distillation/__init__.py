"""Distillation of a quantized network into cheaper codes, against the original's outputs on unlabelled inputs."""
