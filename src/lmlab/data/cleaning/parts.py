"""A batch of texts in parts, so that the arrays made of a part stay in a processor's cache."""

from collections.abc import Iterator, Sequence

PART_CHARACTERS = 1 << 16


def parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in their order, a few at a time, but at least one part, which may be empty."""
    start, size = 0, 0
    for end, text in enumerate(texts):
        if size >= PART_CHARACTERS:
            yield texts[start:end]
            start, size = end, 0
        size += len(text)
    yield texts[start:]
