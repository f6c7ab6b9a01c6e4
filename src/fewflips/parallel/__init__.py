"""Where work runs: processors, and a process beside this one."""
