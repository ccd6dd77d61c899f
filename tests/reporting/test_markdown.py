"""Hostile text does nothing inside Markdown."""

from lmlab.reporting.markdown import fenced, inline


def test_inline_takes_the_meaning_from_markup() -> None:
    assert inline("a|b *c*\n# <d> [e](f)") == r"a\|b \*c\* \# \<d\> \[e\]\(f\)"


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced("x\n````\ny") == "`````text\nx\n````\ny\n`````"


def test_control_characters_are_replaced() -> None:
    assert fenced("a\x1b[31m\x00b") == "```text\na\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b\n```"
