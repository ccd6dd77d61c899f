"""How the report says numbers and texts to people."""

from collections.abc import Callable

from lmlab.reporting.markdown import fenced, inline

EXAMPLE_CHARACTERS = 400
# A model's name that is no longer than this is an acronym: LSTM, GRU.
ACRONYM_LETTERS = 4


def size_text(size: float) -> str:
    """A size for people: 812 bytes, 1.4 kB, 23.1 MB."""
    for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= bound:
            return f"{size / bound:.1f} {unit}"
    return f"{size:,} bytes"


def shortened(text: str) -> str:
    """The text, cut where an example gets too long for a page; the cut is said."""
    cut = len(text) - EXAMPLE_CHARACTERS
    return text if cut <= 0 else f"{text[:EXAMPLE_CHARACTERS]} [{cut:,} more characters]"


FILTERS: dict[str, Callable[..., str]] = {
    "whole": lambda number: f"{number:,}",
    "bytes": size_text,
    "places": lambda number, digits: f"{number:,.{digits}f}",
    "digits": lambda number: f"{number:.2g}",
    "millions": lambda number: f"{number / 1e6:.1f} million",
    "percent": lambda share, digits=1: f"{100 * share:.{digits}f} %",
    "words": lambda name: name.replace("_", " "),
    "model_name": lambda name: name.upper() if len(name) <= ACRONYM_LETTERS else name.capitalize(),
    "short": shortened,
    "inline": inline,
    "fenced": fenced,
}
"""The filters of the templates."""
