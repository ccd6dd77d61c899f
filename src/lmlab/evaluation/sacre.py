"""BLEU and chrF by sacrebleu, from what each record adds, so that a resample is not scored anew."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from lmlab.errors import InputError
from lmlab.evaluation.answers import answers_of
from lmlab.evaluation.metric import Examples, Floats, Metric

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_TOKENIZER_ELSEWHERE = "13a"


def bleu_scorer(language: str | None) -> BLEU:
    """BLEU as sacrebleu computes it, with the words that it recommends for targets of this language.

    Raises: InputError if the language needs a package that is not installed.
    """
    from sacrebleu.metrics.bleu import BLEU

    try:
        # `force` only silences advice about texts that end in " .", which a translation may.
        return BLEU(tokenize=_TOKENIZERS.get(language or "", _TOKENIZER_ELSEWHERE), force=True)
    except RuntimeError as error:
        raise InputError(
            f"task.language={language}: BLEU needs a package to split this language into words; "
            f"pip install -c constraints.txt 'sacrebleu[{language}]'"
        ) from error


def summed_metric(scorer: BLEU | CHRF, *, label: str, num_sums: int, judges_records: bool) -> Metric:
    """The metric of a scorer whose value depends on `num_sums` sums over records."""

    def statistics(examples: Examples) -> Floats:
        answers = answers_of(examples)
        # sacrebleu's layout: all first references, all second ones and so on; None where a record has fewer.
        columns = list(zip_longest(*answers.references))
        rows = scorer._extract_corpus_statistics(answers.texts, columns)
        return np.array(rows, dtype=np.float64).reshape(len(answers.texts), num_sums)

    def value(sums: Floats) -> Floats:
        rows = sums.reshape(-1, num_sums).astype(np.int64).tolist()
        scores = [scorer._compute_score_from_stats(row).score for row in rows]
        return np.array(scores, dtype=np.float64).reshape(sums.shape[:-1])

    return Metric(
        needs="texts",
        better="higher",
        label=label,
        signature=_signature(scorer),
        statistics=statistics,
        value=value,
        judges_records=judges_records,
    )


def _signature(scorer: BLEU | CHRF) -> str:
    # The number of references is known only when there are texts: `with_reference_count` adds it.
    scorer.num_refs = None
    return str(scorer.get_signature())
