import logging
from pathlib import Path

import pytest

from medmask.engine.log_handlers import tolerate_write_errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_ends_the_log_with_one_warning(capsys):
    loggers = [logging.getLogger(name) for name in ("full_disk.a", "full_disk.b")]
    with open("/dev/full", "w") as full:
        for logger in loggers:
            logger.addHandler(logging.StreamHandler(full))
            logger.propagate = False
            tolerate_write_errors(logger)
        for _ in range(3):
            for logger in loggers:
                logger.error("a line")
        assert full.closed
    words = capsys.readouterr().err
    assert words == "warning: /dev/full ends here: [Errno 28] No space left on device\n"


def test_fault_of_ours_is_shown(capsys):
    logger = logging.getLogger("full_disk.c")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.propagate = False
    tolerate_write_errors(logger)
    logger.error("%d", "no number")
    assert "Logging error" in capsys.readouterr().err
