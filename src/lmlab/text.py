"""Small pure functions on text: sizes, digests of values, and the nearest right name."""

import difflib
import hashlib
import json
from collections.abc import Iterable


def utf8_length(text: str) -> int:
    """Length of the text in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))


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


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`did you mean 'x'?` for a near name, else the list of what is allowed."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(names)}"
