"""Display of training results."""
