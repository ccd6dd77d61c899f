"""ROUGE by Google's rouge-score, the best over the references of each record, as its `score_multi` does.

In English, and in a task without a language, texts are split as rouge-score does by default: lower case, and runs of
a to z and 0 to 9, without stemming. That loses every letter beyond ASCII, so texts of other languages are split into
runs of any script's letters, and Chinese and Japanese into characters.

Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, sections 2 and 3.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from lmlab.evaluation.answers import answers_of, average, scores_to_average
from lmlab.evaluation.metric import Examples, Floats, Metric
from lmlab.evaluation.words import words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

log = logging.getLogger("lmlab")

_DEFAULT_WORD = re.compile("[a-z0-9]")


def rouge_metric(kind: str, *, label: str, language: str | None) -> Metric:
    """The mean over records of the F-measure that rouge-score gives for `kind`: rouge1, rouge2 or rougeL."""
    is_default = language in (None, "en")

    def statistics(examples: Examples) -> Floats:
        answers = answers_of(examples)
        if language is None:
            _tell_of_lost(sum(map(_is_lost, answers.references)), len(answers.references))
        scorer = _scorer(kind, None if is_default else language)
        pairs = zip(answers.texts, answers.references, strict=True)
        scores = [scorer.score_multi(references, text)[kind].fmeasure for text, references in pairs]
        return scores_to_average(np.array(scores, dtype=np.float64))

    signature = f"tok:{'default' if is_default else 'unicode'}|stemmer:no|version:{version('rouge-score')}"
    return Metric("texts", "higher", label, signature, statistics, average)


def _is_lost(references: Sequence[str]) -> bool:
    """Whether rouge-score's own way to split finds no word in any of the references, and there are some."""
    text = " ".join(references).lower()
    return not _DEFAULT_WORD.search(text) and bool(words(text, language=None))


@cache
def _tell_of_lost(lost: int, total: int) -> None:
    # Each metric of the family finds the same, several times.
    if lost:
        log.warning(
            "%d of %d right answers have no letter from a to z and no digit, and ROUGE is 0 for them: "
            "set task.language to the code of their language",
            lost,
            total,
        )


@cache
def _scorer(kind: str, language: str | None) -> RougeScorer:
    # Its import takes a second, which only those who score should wait.
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class UnicodeTokenizer(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return words(text.lower(), language=language)

    return RougeScorer([kind], use_stemmer=False, tokenizer=UnicodeTokenizer() if language else None)
