"""What a stage of training is made of."""
