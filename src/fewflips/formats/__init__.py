"""Storage types and number formats: how an integer becomes the bits on a wire."""
