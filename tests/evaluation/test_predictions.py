from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.errors import InputError
from lmlab.evaluation.metric import Answers, Examples
from lmlab.evaluation.predictions import Predictions, read_predictions, write_predictions

DOCUMENTS = np.array([4, 4, 7])
NUMBERS = {name: np.array([3.0, 1.0, 2.0]) for name in ("tokens", "bytes", "correct")}
NATS = np.array([0.1, 2 / 3, 1e-17])


def _predictions(answers: Answers | None) -> Predictions:
    return Predictions(Examples(nats=NATS, **NUMBERS, answers=answers), ["a", "b", "c"], DOCUMENTS)


@pytest.mark.parametrize("confidence", [None, np.array([0.5, 1 / 3, 1.0])])
def test_what_was_written_is_read_to_the_last_digit(tmp_path: Path, confidence: np.ndarray | None) -> None:
    answers = Answers(["yes", "né", ""], [["yes", "yeah"], ["no"], [""]], ["yes", "no", "né"], confidence)
    write_predictions(tmp_path / "p.parquet", _predictions(answers))
    found = read_predictions(tmp_path / "p.parquet")
    assert found.ids == ["a", "b", "c"]
    assert found.documents.tolist() == DOCUMENTS.tolist()
    assert found.examples.nats.tolist() == NATS.tolist()
    assert found.examples.tokens.tolist() == NUMBERS["tokens"].tolist()
    assert found.examples.answers is not None
    assert found.examples.answers[:3] == answers[:3]
    read = found.examples.answers.confidence
    assert (read is None) if confidence is None else (read is not None and read.tolist() == confidence.tolist())


def test_predictions_without_prompts_have_no_answers(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.parquet", _predictions(None))
    assert read_predictions(tmp_path / "p.parquet").examples.answers is None


def test_another_parquet_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet holds no predictions"):
        read_predictions(tmp_path / "p.parquet")
