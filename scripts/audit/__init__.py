"""How far the result carries: other baselines, cells, units, machines, and the memory on the bill."""
