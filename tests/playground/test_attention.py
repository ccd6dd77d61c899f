from pathlib import Path

import pytest
import torch

from lmlab.applying.opening import open_applier
from lmlab.playground.attention import attention_picture
from tests.applying.tiny_bundles import CONTEXT, RECORDS, tiny_bundle


@pytest.mark.parametrize("model", ["transformer", "gru"])
def test_a_row_is_where_the_model_looks_when_it_predicts_the_token(tmp_path: Path, model: str) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "translation", model=model), engine="torch")
    [prompt] = applier.prompts([RECORDS["translation"]], applier.task.decoding)
    answer = [7, 9, 11]
    picture = attention_picture(applier, prompt, answer)
    assert picture is not None
    assert picture.columns == ["the", "dog", "s", "ee", "s"]
    assert picture.notes == []
    for number in range(len(answer)):
        # A causal model that has read up to there only.
        layers = applier.model.attention(torch.tensor([[*prompt, *answer[:number]]]))
        heads = torch.stack([head[-1] for layer in layers for head in layer[0]])
        expected = heads.mean(dim=0)[1 : len(prompt) - 1]
        torch.testing.assert_close(torch.tensor(picture.weights[number]), expected)


def test_a_model_without_attention_has_no_picture(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "translation", model="lstm"), engine="torch")
    assert attention_picture(applier, [0, 5, 0], [6]) is None


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "translation"), engine="torch")
    picture = attention_picture(applier, [0, *[5] * 20, 0], [6] * 100)
    assert picture is not None
    # The model reads the prompt and all of the answer but its last token.
    assert len(picture.rows) == CONTEXT - 22 + 1
    assert picture.notes == ["only the first 43 of 100 tokens of the answer are drawn"]
