"""What all commands share: log lines, one-line errors and exit codes, and an end by signal that cleans up."""

import errno
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

from lmlab.errors import InputError

INPUT_ERROR_CODE = 2


def run_command(command: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit: 0, or 2 after one line on what the user can mend, or 130 and 143 by signal."""
    set_up()
    try:
        code = command() or 0
    except (InputError, OSError) as error:
        code = report_error(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def set_up() -> None:
    """Log lines to stderr, quiet libraries, and SIGTERM as an orderly end."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("lmlab").setLevel(logging.INFO)
    # Warnings of libraries are for us: the tests turn them into errors.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # No stage asks a hub for anything.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def report_error(error: InputError | OSError) -> int:
    """Print what went wrong as one line, and return the exit code."""
    print(f"error: {describe(error)}", file=sys.stderr)
    return INPUT_ERROR_CODE


def describe(error: InputError | OSError) -> str:
    """The error as one line."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" at {error.filename}" if error.filename else ""
        return f"the disk is full{where}: free some space and run the same command again; nothing was left half-written"
    return str(error)
