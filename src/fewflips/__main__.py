"""Entry of the command ``fewflips`` and of ``python -m fewflips``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends it as it does later."""
    try:
        from fewflips.cli import main as run

        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("fewflips: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
