"""Plain text as documents, and long documents as pieces that put together are the document again.

whole       |aaaa bbbb ... zzzz|                one document
lines       |aaaa|bbbb|...                      one for each line that is not blank
paragraphs  |aaaa bbbb|...                      one for each run of lines between blank lines
pieces       aaaa bb|bb ccc|...                 of one document that is too long for one record
"""

import unicodedata
from collections.abc import Iterable, Iterator

# Canonical order is defined over runs of combining marks; longer ones than this are not of any language.
MARKS_KEPT_TOGETHER = 32


# A document's number and text of it; consecutive pieces with the same number belong together. A plain tuple,
# since a named one would take a tenth of the time of cleaning short lines.
Piece = tuple[int, str]


def whole(chunks: Iterable[str], *, piece_characters: int) -> Iterator[str]:
    """One document's pieces, each as long as allowed, cut after a line end, else a space, else anywhere."""
    buffer = ""
    for chunk in chunks:
        buffer += chunk
        start = 0
        while len(buffer) - start > piece_characters:
            end = _cut(buffer, start, start + piece_characters)
            yield buffer[start:end]
            start = end
        buffer = buffer[start:]
    if buffer:
        yield buffer


def lines(chunks: Iterable[str], *, piece_characters: int) -> Iterator[Piece]:
    """Each line that is not blank as a document, without its line end."""
    number = 0
    is_inside = False
    for part, ends in line_parts(chunks, piece_characters=piece_characters):
        if is_inside or not ends or part.strip():
            text = part.removesuffix("\r") if ends else part
            if text:
                yield number, text
            number += ends
        is_inside = not ends


def paragraphs(chunks: Iterable[str], *, piece_characters: int) -> Iterator[Piece]:
    """Each run of lines between blank lines as a document."""
    number = 0
    held: list[str] = []
    size = 0
    for part, ends in line_parts(chunks, piece_characters=piece_characters):
        is_new_line = not held or held[-1].endswith("\n")
        if ends and is_new_line and not part.strip():
            if held:
                yield number, "".join(held).removesuffix("\n")
                number, held, size = number + 1, [], 0
            continue
        if held and size + len(part) >= piece_characters:
            yield number, "".join(held)
            held, size = [], 0
        held.append(part + "\n" if ends else part)
        size += len(held[-1])
    if held:
        yield number, "".join(held).removesuffix("\n")


def line_parts(chunks: Iterable[str], *, piece_characters: int) -> Iterator[tuple[str, bool]]:
    """Lines without their line feed and True; of a line that is too long its parts, True with the last alone."""
    rest = ""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split("\n")
        for line in complete:
            if len(line) <= piece_characters:
                yield line, True
            else:
                *parts, last = whole([line], piece_characters=piece_characters)
                yield from ((part, False) for part in parts)
                yield last, True
        if len(rest) > piece_characters:
            *parts, rest = whole([rest], piece_characters=piece_characters)
            yield from ((part, False) for part in parts)
    if rest:
        yield rest, True


def split_at(chunks: Iterable[str], bounds: Iterable[int]) -> Iterator[tuple[int, str]]:
    """The same text, each part with the number of bounds (in characters, ascending) before it."""
    limits = [*bounds]
    position = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            part = sum(limit <= position for limit in limits)
            room = limits[part] - position if part < len(limits) else len(chunk)
            text = chunk[start : start + room]
            yield part, text
            start += len(text)
            position += len(text)


def _cut(text: str, start: int, limit: int) -> int:
    for separator in ("\n", " "):
        found = text.rfind(separator, start, limit)
        if found >= 0:
            return found + 1
    return _between_characters(text, start, limit)


def _between_characters(text: str, start: int, limit: int) -> int:
    """A place near the limit that parts neither a Windows line end nor a letter from its accents."""
    for end in range(limit, max(start, limit - MARKS_KEPT_TOGETHER), -1):
        if not unicodedata.combining(text[end]) and text[end - 1 : end + 1] != "\r\n":
            return end
    return limit
