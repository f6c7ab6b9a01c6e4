"""Commands about the installation itself."""

from __future__ import annotations

import sys

import click

from fewflips.cli import options
from fewflips.cli.console import show, write

# Everything heavy is imported inside the commands, so that --help answers at once.


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Look at this installation: versions, extras, programs, caches, processors; and what is missing, and for what.

    The exit code is 0 if everything that is needed is there, and 1 otherwise.
    """
    from fewflips.api.doctor import doctor as run
    from fewflips.report.terminal.doctor import doctor_table

    report = run()
    show(lambda: report.model_dump_json(indent=1), lambda: doctor_table(report), as_json)
    if not report.healthy:
        sys.exit(1)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and names in SHELL.

    In ~/.bashrc: eval "$(fewflips completion bash)". In ~/.zshrc: eval "$(fewflips completion zsh)". For fish:
    fewflips completion fish > ~/.config/fish/completions/fewflips.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # click has all three
    made = found(context.find_root().command, {}, "fewflips", "_FEWFLIPS_COMPLETE")
    write(made.source_template % made.source_vars() + "\n")  # without asking bash for its version, as source() does


COMMANDS = (doctor, completion)
