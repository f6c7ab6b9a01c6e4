"""The expected switching energy of a network's weights on a machine, as a term of the training loss."""
