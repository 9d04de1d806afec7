"""Log handlers that give up quietly once they cannot write any more, while the work goes on."""

import contextlib
import logging
import sys


def tolerate_write_errors(logger: logging.Logger) -> None:
    """Replace a logger's stream handlers by ones that give up on a full disk or a closed pipe."""
    for handler in list(logger.handlers):
        if type(handler) is logging.StreamHandler:
            logger.removeHandler(handler)
            logger.addHandler(TolerantHandler(handler))


class TolerantHandler(logging.StreamHandler):
    """Ends with one warning when its stream cannot be written.

    A :class:`logging.StreamHandler` prints a traceback to stderr for each line that is lost.
    """

    def __init__(self, like: logging.StreamHandler) -> None:
        """Create a handler with the stream, the level and the format of another one."""
        super().__init__(like.stream)
        self.setLevel(like.level)
        self.setFormatter(like.formatter)

    def handleError(self, record: logging.LogRecord) -> None:
        error, stream = sys.exc_info()[1], self.stream
        if not isinstance(error, OSError) and not getattr(stream, "closed", False):
            super().handleError(record)
            return
        self.setLevel(logging.CRITICAL + 1)
        if stream in (sys.stdout, sys.stderr) or stream.closed:
            return
        with contextlib.suppress(OSError):  # Python would try again, and complain, at exit
            stream.close()
        print(f"warning: {stream.name} ends here: {error}", file=sys.stderr)
