"""Ways to change a file: any bytes, or what its format is made of."""
