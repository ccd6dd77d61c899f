"""Hostile inputs: bytes that were changed here and there, texts with all that breaks programs, JSON of any shape."""

import copy
from typing import Any, NamedTuple

from hypothesis import strategies as st

LURES = [
    "{0.__class__.__mro__}",
    "{text.__class__}",
    "{{ 7 * 7 }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "${oc.env:HOME}",
    "${jndi:ldap://127.0.0.1/a}",
    "!!python/object/apply:os.system ['true']",
    "__import__('os').system('true')",
    "<script>alert(1)</script>",
    "'; DROP TABLE runs; --",
    "%s%s%s%n",
    "../../../../etc/passwd",
    "/etc/passwd",
    "<|endoftext|>",
    "<|unknown|>",
    "\x00",
    "\ufeff",
    "\ufffe\uffff",
    "\u202e\u2066",
    "a\u0301" * 40,
    "\r\n\r",
    "\u2028\u0085",
    "𝕳" * 9,
    "ﷺ" * 9,
    "NaN",
    "1e999",
    "-0",
    "nan",
    "null",
    "~",
    "=1+1",
    "@SUM(1)",
]
"""Texts that something might evaluate, expand or stumble over."""

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60) | st.sampled_from(LURES)
"""Texts that UTF-8 can hold."""

BROKEN_TEXT = ANY_TEXT | st.text(max_size=20).map(lambda text: text + "\ud800") | st.just("\udfff\ud800")
"""Also halves of surrogate pairs, which JSON can spell."""


class Long(NamedTuple):
    """A long text, told shortly."""

    piece: str
    times: int

    def __str__(self) -> str:
        """The text."""
        return self.piece * self.times


def spelt(value: Any) -> Any:
    """The value, a long text in full."""
    return str(value) if isinstance(value, Long) else value


LONG_TEXT = st.builds(
    Long,
    st.sampled_from(["x", "the cat ", "漢", "\u0301", "\x00", "<|endoftext|>"]),
    st.sampled_from([50, 2000, 13_000]),
)

NUMBERS: st.SearchStrategy[Any] = (
    st.integers()
    | st.integers(-2, 3)
    | st.floats()
    | st.sampled_from(
        [
            10**4,
            10**6,
            10**9,
            10**12,
            2**31,
            2**32,
            2**63,
            -(2**63) - 1,
            2**200,
            10**400,
            1e308,
            5e-324,
            float("inf"),
            float("nan"),
        ]
    )
)

ATOMS: st.SearchStrategy[Any] = st.none() | st.booleans() | NUMBERS | BROKEN_TEXT

VALUES: st.SearchStrategy[Any] = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=8
)
"""Plain values of any shape."""

_TELLING = [
    b"\x00" * 4,
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"\x7f",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"\\",
    b",",
    b"\t",
]

_EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "put", "drop", "copy", "cut"]),
        st.integers(0, 1 << 20),
        st.integers(0, 255),
        st.sampled_from(_TELLING) | st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, *, tail: int = 0) -> st.SearchStrategy[bytes]:
    """The content with a few edits; half of them in its last `tail` bytes, where some formats keep what they are."""
    return _EDITS.map(lambda edits: _edited(content, edits, tail))


def _edited(content: bytes, edits: list[tuple[str, int, int, bytes]], tail: int) -> bytes:
    data = bytearray(content)
    for kind, where, number, piece in edits:
        if not data:
            break
        place = where % len(data)
        if tail and number % 2:
            place = max(0, len(data) - 1 - where % tail)
        match kind:
            case "flip":
                data[place] ^= 1 << number % 8
            case "put":
                data[place : place + len(piece)] = piece
            case "drop":
                del data[place : place + number % 9]
            case "copy":
                source = number * len(data) // 256
                data[place:place] = data[source : source + 24]
            case "cut":
                del data[place:]
    return bytes(data)


def reshaped(value: Any, others: st.SearchStrategy[Any] = VALUES) -> st.SearchStrategy[Any]:
    """The JSON value with some of its parts replaced, left out or renamed, wherever in it they stand."""
    steps = st.lists(st.integers(0, 1 << 16), min_size=1, max_size=6)
    change = st.tuples(steps, st.sampled_from(["put", "put", "drop", "rename"]), others, ANY_TEXT)
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _reshaped(value, changes))


def _reshaped(value: Any, changes: list[tuple[list[int], str, Any, str]]) -> Any:
    changed = copy.deepcopy(value)
    for steps, kind, other, name in changes:
        parts = changed
        for place, step in enumerate(steps):
            if not isinstance(parts, dict | list) or not parts:
                break
            keys: Any = list(parts) if isinstance(parts, dict) else range(len(parts))
            key = keys[step % len(keys)]
            inner = parts[key]
            if place + 1 < len(steps) and isinstance(inner, dict | list) and inner:
                parts = inner
                continue
            if kind == "put":
                parts[key] = other
            elif kind == "drop":
                del parts[key]
            elif isinstance(parts, dict):
                parts[name] = parts.pop(key)
            break
    return changed
