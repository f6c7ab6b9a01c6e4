"""Running networks in their formats' own runtimes."""
