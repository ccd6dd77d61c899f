"""Where English sentences end, as documentation writes them."""

import re

# What follows a full stop there begins a new sentence: a capital, a quotation, a bracket or a code sample.
_END = re.compile(r"(?<=[.!?])[\"')\]`*]*\s+(?=[\"'(\[`*]*[A-Z])")
_ABBREVIATIONS = ("e.g.", "i.e.", "cf.", "vs.", "etc.", "Eq.", "Eqs.", "Fig.", "Sec.", "Ref.", "No.", "approx.", "al.")


def sentences(paragraph: str) -> list[str]:
    """The paragraph's sentences in order, each on one line."""
    line = " ".join(paragraph.split())
    found = []
    start = 0
    for end in _END.finditer(line):
        if not line[: end.start()].endswith(_ABBREVIATIONS):
            found.append(line[start : end.end()].rstrip())
            start = end.end()
    return [*found, line[start:]] if line[start:] else found
