"""``python -m fewflips``."""

from fewflips.cli import main

if __name__ == "__main__":
    main()
