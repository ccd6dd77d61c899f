"""What all commands share: options, log lines, one-line errors and exit codes, and an end by signal that cleans up."""

import argparse
import errno
import gc
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import NoReturn

from lmlab.errors import InputError
from lmlab.hub_access import stay_offline_by_default
from lmlab.text import nearest

INPUT_ERROR_CODE = 2
INTERRUPTED_CODE = 128 + signal.SIGINT
BROKEN_PIPE_CODE = 128 + 13  # SIGPIPE, which Windows has not

END_OF_OPTIONS = "--"
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z0-9-]*)(=.*)?", re.DOTALL)


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, whose help shows an example; a wrong option is one line with the nearest right one."""

    def __init__(self, name: str, *, summary: str, example: str) -> None:
        super().__init__(
            prog=f"python -m pipelines.{name}",
            description=summary,
            epilog=example,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def options(self) -> argparse.Namespace:
        """The command line's options; argparse would name a missing one before the misspelt one."""
        check_options(sys.argv[1:], self._option_string_actions)
        return self.parse_args()

    def error(self, message: str) -> NoReturn:
        """Say it as every other error."""
        raise InputError(f"{self.prog}: {message}; see --help")


def parser_of(name: str, doc: str | None) -> CommandParser:
    """The parser of a command whose module's docstring is a summary, an empty line and an example."""
    summary, _, example = (doc or "").strip().partition("\n\n")
    return CommandParser(name, summary=summary, example=example)


def check_options(words: Sequence[str], known: Collection[str]) -> None:
    """Raise InputError for the first word before `--` that looks like an option and is none of these."""
    for word in takewhile(lambda word: word != END_OF_OPTIONS, words):
        found = _OPTION.fullmatch(word)
        if found and found[1] not in known:
            raise InputError(f"{found[1]}: there is no such option; {nearest(found[1], known)}")


def run_command(command: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit: 0, or 2 after one line on what the user can mend, or 130 and 143 by signal."""
    set_up()
    try:
        code = command() or 0
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        code = _interrupted(str(interrupt))
    except BrokenPipeError:
        # Who reads, such as head, has what it wanted; what Python still holds back must not fail at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE_CODE
    except SystemExit as end:
        # Lightning turns Ctrl-C into an exit with status 1.
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        code = _interrupted()
    except Exception as error:
        if not is_users(error):
            raise
        code = report_error(error)
    # Else Python looks through all objects of torch and others once more before it ends: 0.7 s.
    gc.freeze()
    sys.exit(code)


def _interrupted(said: str = "") -> int:
    print(said or "interrupted", file=sys.stderr)
    return INTERRUPTED_CODE


def set_up() -> None:
    """Log lines to stderr, quiet libraries, and SIGTERM as an orderly end."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("lmlab").setLevel(logging.INFO)
    # Warnings of libraries are for us: the tests turn them into errors.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    stay_offline_by_default()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def is_users(error: Exception) -> bool:
    """Whether the user can mend what went wrong; the rest are our own mistakes and keep their traceback."""
    return isinstance(error, InputError | OSError) or _is_full_disk(error) or _is_damaged_table(error)


def report_error(error: Exception) -> int:
    """Print what went wrong as one line, and return the exit code."""
    print(f"error: {describe(error)}", file=sys.stderr)
    return INPUT_ERROR_CODE


def describe(error: Exception) -> str:
    """The error as one line."""
    if _is_full_disk(error):
        filename = getattr(error, "filename", None)
        where = f" at {filename}" if filename else ""
        return f"the disk is full{where}: free some space and run the same command again; nothing was left half-written"
    return " ".join(str(error).split()) or type(error).__name__


def _is_damaged_table(error: Exception) -> bool:
    """Whether Arrow refuses a file that a stage wrote; what a user gives is refused where it is read."""
    return any(kind.__module__ == "pyarrow.lib" for kind in type(error).__mro__)


def _is_full_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Rust libraries (safetensors, tokenizers) and other processes pass the system's error on as text.
    return any(name in str(error) for name in (f"(os error {errno.ENOSPC})", f"[Errno {errno.ENOSPC}]"))
