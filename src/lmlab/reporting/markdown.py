"""Text that somebody else wrote, made safe inside Markdown."""

import re

# A backslash takes the meaning from ASCII punctuation (CommonMark 2.4); < and & also from HTML.
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$@:.-])")


def inline(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would act on."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """The text as a code block that nothing in it can end."""
    printable = "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    longest = max((len(run) for run in re.findall(r"`+", printable)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{printable}\n{fence}"
