"""Errors that a user can act on, and how command-line tools show them."""

import functools
import sys
from collections.abc import Callable


class InputError(ValueError):
    """A fault in what the user gave: a file, a field, a config key.

    The message is complete by itself: it names the file, the field or the config key at fault and
    says what to do. Command-line tools print it without a traceback; see
    :func:`command_line_tool`.
    """


def command_line_tool(main: Callable[..., int | None]) -> Callable[..., None]:
    """Turn ``main`` into an entry point that exits with a status.

    The status is what ``main`` returns (None means 0). An :class:`InputError` is printed to stderr
    as one line, and the status is 2; Ctrl-C gives 130. Any other exception is a fault of ours and
    keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args, **kwargs) -> None:
        try:
            sys.exit(main(*args, **kwargs) or 0)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return run
