"""Whether two models, or a model and a schedule, compute the same."""
