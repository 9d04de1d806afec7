"""Entry points of commands, for ``medmask`` and for the files in ``tools/``."""

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol

from medmask.commands.registry import as_tools
from medmask.utils.command_line import command_line_tool


class EntryPoint(Protocol):
    """A command that exits with a status."""

    def __call__(self, arguments: Sequence[str] | None = None, command: str | None = None) -> None:
        """Run the command.

        Args:
            arguments: of the command line; those of the process if None.
            command: name in ``medmask``; None for the tool, whose help says how to call tools.

        Raises:
            SystemExit: in the end, with the status; see
                :func:`medmask.utils.command_line.command_line_tool`.
        """


def entry_point(
    make_parser: Callable[[], argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int | None],
) -> EntryPoint:
    """Make the entry point of a command.

    Args:
        make_parser: makes its parser, without importing what it runs. Examples in the epilog call
            other commands as ``medmask COMMAND``.
        run: does its work; returns the status, None for 0. The arguments have ``is_tool``, which
            says whether it runs as a tool.
    """

    @command_line_tool
    def main(arguments: Sequence[str] | None = None, command: str | None = None) -> int | None:
        parser = make_parser()
        parser.set_defaults(is_tool=command is None)
        if command is None:
            parser.epilog = as_tools(parser.epilog or "")
        else:
            parser.prog = f"medmask {command}"
        # options may stand between positional arguments
        return run(parser.parse_intermixed_args(arguments))

    return main


def examples_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser that shows its description and its examples as they are written."""
    return argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
