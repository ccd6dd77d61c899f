"""Words of a text in any language, where no scorer of the field says how to split it."""

import re
import unicodedata

_UNSPACED_LANGUAGES = ("zh", "ja")
# Ideographs (with extensions and compatibility forms) and their iteration marks; kana, also small and halfwidth.
_CHARACTER = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def words(text: str, *, language: str | None) -> list[str]:
    """The runs of letters, marks and digits, as written; `spaced` says what a run is in Chinese and Japanese."""
    kept = (character if unicodedata.category(character)[0] in "LMN" else " " for character in text)
    return spaced("".join(kept), language=language).split()


def spaced(text: str, *, language: str | None) -> str:
    """The text with spaces between its words.

    Chinese and Japanese are written without spaces: there each ideograph and kana is a word, while Latin words and
    numbers stay whole. Texts of other languages come back as they are.
    """
    return _CHARACTER.sub(r" \g<0> ", text) if language in _UNSPACED_LANGUAGES else text
