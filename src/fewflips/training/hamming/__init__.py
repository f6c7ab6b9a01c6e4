"""The Hamming distance as a term of the training loss."""
