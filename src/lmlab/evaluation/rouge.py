"""ROUGE by Google's rouge-score, the best over the references of each record, as its `score_multi` does.

In English, and in a task without a language, texts are split as rouge-score does by default: lower case, and runs of
a to z and 0 to 9, without stemming. That loses every letter beyond ASCII, so texts of other languages are split into
runs of any script's letters, and Chinese and Japanese into characters.

Source: Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, sections 2 and 3.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from lmlab.evaluation.answers import answers_of, average, scores_to_average
from lmlab.evaluation.metric import Examples, Floats, Metric
from lmlab.evaluation.words import words

if TYPE_CHECKING:
    from rouge_score.tokenizers import Tokenizer


def rouge_metric(kind: str, *, label: str, language: str | None) -> Metric:
    """The mean over records of the F-measure that rouge-score gives for `kind`: rouge1, rouge2 or rougeL."""
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer = None if language in (None, "en") else _unicode_tokenizer(language)
    scorer = RougeScorer([kind], use_stemmer=False, tokenizer=tokenizer)

    def statistics(examples: Examples) -> Floats:
        answers = answers_of(examples)
        pairs = zip(answers.texts, answers.references, strict=True)
        scores = [scorer.score_multi(references, text)[kind].fmeasure for text, references in pairs]
        return scores_to_average(np.array(scores, dtype=np.float64))

    signature = f"tok:{'default' if tokenizer is None else 'unicode'}|stemmer:no|version:{version('rouge-score')}"
    return Metric("texts", "higher", label, signature, statistics, average)


def _unicode_tokenizer(language: str | None) -> Tokenizer:
    from rouge_score.tokenizers import Tokenizer

    class UnicodeTokenizer(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return words(text.lower(), language=language)

    return UnicodeTokenizer()
