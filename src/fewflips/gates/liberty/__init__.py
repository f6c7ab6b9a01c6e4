"""Cell libraries: Liberty files, built-in tables, cells as objects."""
