"""Logs that cannot be written any more end quietly; the work goes on."""

import contextlib
import logging
import sys


def let_logs_fail(logger: logging.Logger) -> None:
    """Have a logger's handlers give up, with one warning, on a full disk or a reader that left.

    By default Python prints a traceback to stderr for each line that cannot be written.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.handleError = _GiveUp(handler)


class _GiveUp:
    """What takes the place of ``Handler.handleError``."""

    def __init__(self, handler: logging.StreamHandler) -> None:
        self._handler = handler
        self._by_default = handler.handleError

    def __call__(self, record: logging.LogRecord) -> None:
        error, stream = sys.exc_info()[1], self._handler.stream
        if not isinstance(error, OSError) and not getattr(stream, "closed", False):
            self._by_default(record)
            return
        self._handler.setLevel(logging.CRITICAL + 1)
        if stream in (sys.stdout, sys.stderr) or stream.closed:
            return
        with contextlib.suppress(OSError):  # Python would try again, and complain, at exit
            stream.close()
        print(f"warning: {stream.name} ends here: {error}", file=sys.stderr)
