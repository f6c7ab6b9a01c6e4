"""The cheapest codes along an order."""
