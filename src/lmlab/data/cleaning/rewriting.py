"""Rules that change a text, and whether one could change it at all, which is far cheaper to say."""

import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import ftfy
from ftfy.badness import is_bad

from lmlab.data.cleaning.markup import may_hold_markup, without_markup
from lmlab.data.cleaning.settings import CleaningSettings


class Edges(NamedTuple):
    """Whether a text's document begins and ends with it; inner pieces keep their ends as they are."""

    begins: bool
    ends: bool


class Rewriting(NamedTuple):
    """A named rule.

    Where `may_change` says False of a text, it does so of every part of it, and `rewrite` changes nothing but,
    at a document's edges, the whitespace there.
    """

    name: str
    may_change: Callable[[str], bool]
    rewrite: Callable[[str, Edges], str]


def rewritings(settings: CleaningSettings) -> list[Rewriting]:
    """The enabled rules in the order in which they act."""
    maximum_blank_lines = settings.whitespace.maximum_blank_lines
    form = settings.unicode.form
    rules = [
        Rewriting("encoding_repair", _is_not_ascii, lambda text, _: repair_encoding(text)),
        Rewriting("unicode", _is_not_ascii, lambda text, _: normalize(text, form)),
        Rewriting("control_characters", _may_hold_controls, lambda text, _: without_controls(text)),
        Rewriting("markup", may_hold_markup, lambda text, _: without_markup(text)),
        Rewriting(
            "whitespace",
            functools.partial(_may_hold_loose_space, maximum_blank_lines=maximum_blank_lines),
            lambda text, edges: tidy_whitespace(text, edges, maximum_blank_lines=maximum_blank_lines),
        ),
    ]
    return [rule for rule in rules if getattr(settings, rule.name).enabled]


def _is_not_ascii(text: str) -> bool:
    return not text.isascii()


# Entities belong to the rule markup, the rest to rules of their own; this one only mends wrong decoding.
REPAIR = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)
C1_CONTROLS = re.compile(r"[\x80-\x9f]")


def repair_encoding(text: str) -> str:
    """The text as it was before someone decoded its bytes with the wrong encoding; Source: ftfy."""
    if text.isascii():
        return text
    return "".join(ftfy.fix_text(line, REPAIR) if _may_be_repaired(line) else line for line in _lines(text))


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends, which ftfy repairs one by one."""
    *lines, last = text.split("\n")
    yield from (line + "\n" for line in lines)
    yield last


def _may_be_repaired(line: str) -> bool:
    """False only where ftfy with REPAIR changes nothing, which its own way takes much longer to find out."""
    if line.isascii():
        return False
    # A longer line is cut, and what stands at a beginning counts.
    is_cut = len(line) > REPAIR.max_decode_length
    return is_cut or is_bad(line) or C1_CONTROLS.search(line) is not None


# Unicode Standard Annex 15, Stream-Safe Text Format: no language needs more marks on one letter. Without
# this bound normalization takes quadratic time.
MOST_MARKS = 30


@functools.cache
def _too_many_marks() -> re.Pattern[str]:
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    ranges = []
    for code in marks:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    group = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(f"([{group}]{{{MOST_MARKS}}})[{group}]+")


def normalize(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """The text in this Unicode normal form; of more marks on one letter than any language has the first are kept."""
    if text.isascii():
        return text
    text = _too_many_marks().sub(r"\1", text)
    return text if unicodedata.is_normalized(form, text) else unicodedata.normalize(form, text)


# Colour codes of terminals; then C0 and C1 controls but the ones that end or indent lines, the byte-order mark,
# deprecated format characters, annotations, and code points that will never be characters.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ASCII_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
CONTROLS = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\u206a-\u206f\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff]"
)


def _may_hold_controls(text: str) -> bool:
    return not text.isascii() or ASCII_CONTROLS.search(text) is not None


def without_controls(text: str) -> str:
    """The text without characters that no reader sees, but for tabs and line ends."""
    if "\x1b" in text:
        text = ESCAPES.sub("", text)
    return CONTROLS.sub("", text)


LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def _may_hold_loose_space(text: str, *, maximum_blank_lines: int) -> bool:
    return (
        " \n" in text
        or "\t\n" in text
        or "\n" * (maximum_blank_lines + 2) in text
        or not text.isascii()
        or "\r" in text
        or "\x0b" in text
        or "\x0c" in text
    )


def tidy_whitespace(text: str, edges: Edges, *, maximum_blank_lines: int) -> str:
    """Line ends as line feeds, no space before them, few blank lines; indentation stays.

    Blank lines at a document's beginning and whitespace at its end go; where a piece was cut, all stays.
    """
    text = LINE_ENDS.sub("\n", text)
    if " \n" in text or "\t\n" in text or edges.ends:
        *lines, last = text.split("\n")
        lines = [line.rstrip(" \t") for line in lines]
        text = "\n".join([*lines, last.rstrip(" \t") if edges.ends else last])
    if edges.ends:
        text = text.rstrip("\n")
    if edges.begins:
        text = text.lstrip("\n")
    most = "\n" * (maximum_blank_lines + 1)
    return re.sub(most + "\n+", most, text) if most + "\n" in text else text
