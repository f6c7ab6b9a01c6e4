"""Orders with fewer flips, and models rewritten by them."""
