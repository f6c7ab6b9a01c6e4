"""The search for the machines on which networks cost least: space, evaluation, search, Pareto front."""
