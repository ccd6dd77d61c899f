"""Tokens to text as they come."""

from lmlab.data.tokenizer import Tokenizer

BROKEN = "\ufffd"


class TextStream:
    """Gives the text of each token as soon as its characters are whole.

    A token's text may depend on the one before it (a space that only stands between words), so the piece before is
    decoded again with it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._shown: list[int] = []
        self._waiting: list[int] = []

    def add(self, token: int) -> str:
        """The text that this token makes whole; empty while a character is still in parts."""
        self._waiting.append(token)
        text = self._text_of_waiting()
        if text.endswith(BROKEN):
            return ""
        # After a token without a text of its own the next one would look like the first of all.
        self._shown, self._waiting = (self._waiting if text else [*self._shown, *self._waiting]), []
        return text

    def rest(self) -> str:
        """What is left at the end, whole or not."""
        return self._text_of_waiting() if self._waiting else ""

    def _text_of_waiting(self) -> str:
        before = self._tokenizer.decode(self._shown)
        return self._tokenizer.decode([*self._shown, *self._waiting])[len(before) :]
