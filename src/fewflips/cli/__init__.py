"""The command ``fewflips``."""

from __future__ import annotations

import sys

import click

from fewflips.cli import (
    calibration_command,
    check_command,
    demo_command,
    explore_command,
    flip_commands,
    gate_commands,
    installation_commands,
    interchange_commands,
    training_command,
)
from fewflips.cli.console import finish_output, prepare_streams, say, say_lines
from fewflips.errors import FewflipsError
from fewflips.near_misses import did_you_mean
from fewflips.version import __version__


class _Commands(click.Group):
    """A group that suggests the command that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            suggestion = did_you_mean(str(args[0]), self.list_commands(ctx)) if args else ""
            if suggestion and "did you mean" not in error.message.lower():
                raise click.UsageError(f"{error.message} Did{suggestion.removeprefix('; did')}", ctx) from error
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fewflips")
def cli() -> None:
    """Make quantized networks cheaper to run on accelerators by flipping fewer bits in the datapath."""


for command in (
    *flip_commands.COMMANDS,
    *check_command.COMMANDS,
    *demo_command.COMMANDS,
    *gate_commands.COMMANDS,
    *explore_command.COMMANDS,
    *calibration_command.COMMANDS,
    *training_command.COMMANDS,
    *interchange_commands.COMMANDS,
    *installation_commands.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error is one line on stderr and exit code 2 (Ctrl-C: 130)."""
    try:
        prepare_streams()
        code = cli.main(prog_name="fewflips", standalone_mode=False)
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for Ctrl-D at a prompt, and there is none
            raise error.__cause__ from None
        _fail("interrupted", 130)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        say_lines(f"{error.format_message()}\n")
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fewflips"
        _fail(f"{error.format_message()} See {command} --help", 2)
    except FewflipsError as error:
        _fail(str(error), 2)
    except MemoryError:
        _fail("out of memory: give smaller files or fewer samples, or use a machine with more of it", 2)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or 'the output cannot be written'}", 2)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> None:
    say(f"fewflips: {' '.join(message.split())}")
    finish_output()
    sys.exit(code)
