"""Small pure functions on text: sizes, counts, digests of values, and the nearest right name."""

import difflib
import hashlib
import json
import reprlib
from collections.abc import Collection, Iterable
from itertools import islice


def utf8_length(text: str) -> int:
    """Length of the text in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it; halves of surrogate pairs, which JSON can spell, are no characters."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def counted(number: int, noun: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value's canonical text, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, evenly spread over texts."""
    head = hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(head, "big") / 2**64


# Of names that a person could have meant: a file may bring millions.
MOST_COMPARED = 1000
MOST_LISTED = 60
# Values that a message quotes; deep and long ones are not spelt out first and cut then.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'?` for a near name, else the list of what is allowed."""
    names = sorted(islice(allowed, MOST_COMPARED))
    by_small_letters = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), by_small_letters, n=1)
    return f"did you mean '{by_small_letters[near[0]]}'?" if near else f"allowed: {listed(names)}"


def shown(value: object) -> str:
    """The value as Python spells it, but for `null`, cut short; its kind alone where it cannot be spelt."""
    if value is None:
        return "null"
    try:
        spelt = _SHORT.repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        return f"a {type(value).__name__}"
    return spelt


def listed(names: Collection[str]) -> str:
    """The names with commas between them, the first of them where there are many."""
    shown = ", ".join(islice(names, MOST_LISTED))
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown
