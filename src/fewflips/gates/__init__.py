"""Gate level: synthesis, netlists, cell libraries, switching simulation, energy."""
