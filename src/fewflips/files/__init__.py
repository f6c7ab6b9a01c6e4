"""Input files of bounded size, and output files that are written whole and cleaned up after."""
