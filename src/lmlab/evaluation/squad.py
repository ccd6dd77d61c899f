"""Answers compared as SQuAD's scorer does: by their words, without case, punctuation and articles.

In English, and in a task without a language, texts are treated to the letter as the official scripts of SQuAD 1.1
and 2.0 do. Elsewhere words such as `an` and `die` are no English articles and stay, and the punctuation of every
script goes. In Chinese and Japanese each character counts as a word, as in MLQA's scorer (Lewis et al. 2020).

Source: Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, section 6.1.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable

import numpy as np

from lmlab.evaluation.metric import Answers, Floats
from lmlab.evaluation.words import spaced

_ASCII_PUNCTUATION = frozenset(string.punctuation)
_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(text: str, *, language: str | None) -> str:
    """The text in lower case, without punctuation, surplus whitespace and, in English, articles."""
    if language in (None, "en"):
        kept = "".join(character for character in text.lower() if character not in _ASCII_PUNCTUATION)
        return " ".join(_ENGLISH_ARTICLES.sub(" ", kept).split())
    return " ".join("".join(character for character in text.lower() if not _is_punctuation(character)).split())


def _is_punctuation(character: str) -> bool:
    return character in _ASCII_PUNCTUATION or unicodedata.category(character).startswith("P")


def normalized_words(text: str, *, language: str | None) -> list[str]:
    """The words of the normalized text."""
    return spaced(normalized(text, language=language), language=language).split()


def exact_match(answer: str, reference: str, *, language: str | None) -> float:
    """1 if both are the same when normalized, else 0."""
    return float(normalized(answer, language=language) == normalized(reference, language=language))


def f1(answer: str, reference: str, *, language: str | None) -> float:
    """Harmonic mean of the shares of words that both have in common; two texts without any word agree (SQuAD 2.0)."""
    answered, expected = (normalized_words(text, language=language) for text in (answer, reference))
    if not answered or not expected:
        return float(answered == expected)
    common = sum((Counter(answered) & Counter(expected)).values())
    return 2 * common / (len(answered) + len(expected))


def best_scores(answers: Answers, score: Callable[..., float], *, language: str | None) -> Floats:
    """Each answer's score against the reference where it is highest."""
    pairs = zip(answers.texts, answers.references, strict=True)
    best = [max(score(text, reference, language=language) for reference in references) for text, references in pairs]
    return np.array(best, dtype=np.float64)
