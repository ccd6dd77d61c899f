"""Sentences of a text by simple rules, for baselines that answer with one."""

import re

# Marks that end a sentence wherever they stand, those that do so before a space alone, and empty lines; closing
# quotes and brackets belong to the sentence before them.
_CLOSING = "[\"'”’»)\\]）」』】》〉〕]*"
_WIDE_END = re.compile(rf"[。！？｡]+{_CLOSING}\s*")
_EMPTY_LINE = re.compile(r"\n\s*\n")
_END = re.compile(rf"{_WIDE_END.pattern}|[.!?…]+{_CLOSING}(?:\s+|$)|{_EMPTY_LINE.pattern}")
_LAST_WORD = re.compile(r"[\w.]+$")
_ABBREVIATIONS = frozenset(
    ("al", "approx", "cf", "dr", "e.g", "eq", "eqs", "fig", "figs", "i.e", "mr", "mrs", "ms", "pp", "prof", "ref")
    + ("refs", "resp", "st", "vs")
)


def sentences(text: str) -> list[str]:
    """The text's sentences in order, without the space around them; empty ones are left out.

    A sentence ends at an empty line; with `。`, `！`, `？` or `｡`; and with `.`, `!`, `?` or `…` before a space, unless
    a lower-case letter follows. A single full stop ends none after an initial (J. Smith), a common English
    abbreviation, or a number that would stand alone (1. Open the file).
    """
    found, start = [], 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            found.append(text[start : match.end()].strip())
            start = match.end()
    return [sentence for sentence in [*found, text[start:].strip()] if sentence]


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    if _WIDE_END.match(match.group()) or _EMPTY_LINE.search(match.group()):
        return True
    if text[match.end() : match.end() + 1].islower():
        return False
    return match.group().strip() != "." or not _is_abbreviation(text[start : match.start()].strip())


def _is_abbreviation(before: str) -> bool:
    last = _LAST_WORD.search(before)
    word = last.group() if last else ""
    is_initial = len(word) == 1 and word.isupper()
    return is_initial or word.lower() in _ABBREVIATIONS or before.isdecimal()
