"""Results of training, shown."""
