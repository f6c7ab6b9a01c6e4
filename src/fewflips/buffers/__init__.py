"""The memories around an array: what an access costs, and what a layer's accesses cost."""
