"""HTML tags and entities: only what HTML defines goes, `a < b` and `<lambda>` stay."""

import html
import re
from html.entities import html5

BLOCKS = "address article aside blockquote br center dd div dl dt figure footer h1 h2 h3 h4 h5 h6 header hr li main nav"
BLOCKS += " ol p pre section table tbody td tfoot th thead tr ul"
INLINE = "a abbr b big body button cite code del dfn em font form head html i img input ins kbd label link mark meta"
INLINE += " option q s samp select small span strike strong sub sup textarea title tt u var video"

BLOCK_NAMES = frozenset(BLOCKS.split())

# Bounded, so that a text of nothing but `<a <a <a` is read in linear time.
LONGEST_TAG = 2000
TAG = re.compile(
    rf"</?({'|'.join(sorted([*BLOCKS.split(), *INLINE.split()]))})(?:\s[^<>]{{0,{LONGEST_TAG}}})?/?>", re.IGNORECASE
)
HIDDEN = [
    (
        re.compile(rf"<{name}\b[^<>]{{0,{LONGEST_TAG}}}>", re.IGNORECASE),
        re.compile(rf"</{name}\s{{0,9}}>", re.IGNORECASE),
    )
    for name in ("script", "style")
]
ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def may_hold_markup(text: str) -> bool:
    """False if no rule about HTML could change the text."""
    return "<" in text or "&" in text


def without_markup(text: str) -> str:
    """The text as a browser would show it: block tags as line ends, entities as characters."""
    if "<" in text and ">" in text:
        text = _without_hidden(text)
        text = TAG.sub(_shown, text)
    if "&" in text and ";" in text:
        text = ENTITY.sub(_character, text)
    return text


def _without_hidden(text: str) -> str:
    """The text without scripts and style sheets; one without an end stays, as any text does."""
    for opening, closing in HIDDEN:
        kept = []
        position = 0
        while (start := opening.search(text, position)) and (end := closing.search(text, start.end())):
            kept.append(text[position : start.start()])
            position = end.end()
        text = "".join([*kept, text[position:]])
    return text


def _shown(tag: re.Match[str]) -> str:
    return "\n" if tag[1].lower() in BLOCK_NAMES else ""


def _character(entity: re.Match[str]) -> str:
    if entity[0][1] != "#" and entity[0][1:] not in html5:
        return entity[0]
    return html.unescape(entity[0])
