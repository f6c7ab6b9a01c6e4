"""``python -m fewflips``."""

from fewflips.cli import main

main()
