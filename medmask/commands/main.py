"""The ``medmask`` command: it hands its arguments to one of the commands."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from medmask.commands.registry import COMMANDS
from medmask.version import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``medmask COMMAND ...``.

    Args:
        arguments: of the command line; those of the process if None.

    Raises:
        SystemExit: with the status of the command; 2 for an unknown one.
    """
    name, *others = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"medmask {__version__}")
    elif name in COMMANDS:
        importlib.import_module(COMMANDS[name].module).main(others, name)
    elif not name:
        print(_help(), file=sys.stderr)
        sys.exit(2)
    else:
        print(f"error: {_describe_unknown(name)}", file=sys.stderr)
        sys.exit(2)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: medmask COMMAND ...",
            "",
            "Lesion detection in mammograms from few annotations.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            f"  {'-h, --help':{width}}  show this message; after a command, its options",
            f"  {'--version':{width}}  show the version",
        ]
    )


def _describe_unknown(name: str) -> str:
    if name.startswith("-"):
        return f"there is no option {name} before a command; see medmask --help"
    spelled = name.lower().replace("_", "-")
    tools = {command.tool.removesuffix(".py"): each for each, command in COMMANDS.items()}
    if name.removesuffix(".py") in tools:
        near = [tools[name.removesuffix(".py")]]
    else:
        near = difflib.get_close_matches(spelled, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "medmask --help lists all"
    return f"there is no command {name}; {hint}"
