"""The hub's form of a tiny Transformer, loaded by transformers in processes that cannot import this project."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lmlab.bundle import build_model, load_bundle, save_bundle
from lmlab.config import validate
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer import TOKENIZERS, Tokenizer, train_tokenizer
from lmlab.decoding.generate import generate
from lmlab.decoding.sampling import Sampling
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import OwnModel
from lmlab.export.exporters.hf import FORMS
from lmlab.export.parity import ask, ask_in_fresh_process, compare
from lmlab.files import read_json
from tests.corpus import texts

TRANSFORMER = {
    "name": "transformer",
    "width": 32,
    "layers": 2,
    "heads": 4,
    "key_heads": 2,
    "feed_forward_width": 48,
    "rotary_base": 500.0,
    "dropout": 0.0,
}
SAMPLING = {"name": "sampling", "max_new_tokens": 9, "sampling": {"temperature": 0.7, "top_k": 0, "top_p": 0.95}}
GREEDY = {"name": "sampling", "max_new_tokens": 9, "sampling": {"temperature": 0, "top_k": 5, "top_p": 1}}
BEAMS = {"name": "beam", "max_new_tokens": 7, "beams": 4, "length_penalty": 0.5}
CONTEXT = 48
HOSTILE = ["", " two  spaces ", "naïve 漢字 🙂", "<|endoftext|> inside", "tab\tand\nline", "1234 5"]
# Nothing of this project can be imported there.
ALONE = """
import json, sys
sys.modules["lmlab"] = None
sys.modules["pipelines"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

folder, texts = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
said = {"class": type(model).__name__, "ids": [tokenizer(text, split_special_tokens=True).input_ids for text in texts]}
prompts = ["Once there", "A", "The cat sat on the mat"]
batch = tokenizer(prompts, padding=True, return_tensors="pt")
greedy = dict(max_new_tokens=8, do_sample=False, eos_token_id=None)
together = model.generate(**batch, **greedy)[:, batch.input_ids.shape[1]:].tolist()
alone = []
for prompt in prompts:
    one = tokenizer(prompt, return_tensors="pt")
    alone.append(model.generate(**one, **greedy)[0, one.input_ids.shape[1]:].tolist())
beams = model.generate(**batch, max_new_tokens=4, num_beams=3, do_sample=False)
written = pipeline("text-generation", model=model, tokenizer=tokenizer)("The cat", max_new_tokens=5, do_sample=False)
said |= {"together": together, "alone": alone, "beams": len(beams), "text": written[0]["generated_text"]}
print(json.dumps(said))
"""


def tiny_bundle(folder: Path, settings: dict, *, prompt: str = "", decoding: dict = GREEDY) -> Path:
    """A bundle of this model with a tokenizer of 300 tokens, for a task that is asked so and answers so."""
    part = TOKENIZERS.get("bpe")
    values = {"name": "bpe", "vocabulary_size": 300, "min_frequency": 2, "split_digits": True, "depends_on": None}
    tokenizer = train_tokenizer(validate(part.settings, values, path="tokenizer"), iter(texts(100, seed=1)))
    torch.manual_seed(0)
    model = build_model(settings, vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT, path="model")
    # Blocks begin as the identity: with weights in all of them a wrong name shows.
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    folder.mkdir()
    cutting = {"max_prompt_tokens": None, "field": None, "side": "end"}
    choices = ["cat", "dog"] if decoding["name"] == "ranking" else []
    told = {"name": "of_a_test", "version": 1, "prompt": prompt, "choices": choices, "cutting": cutting}
    task = LearnedTask.model_validate(told | {"decoding": decoding})
    save_bundle(folder, model, tokenizer, settings=settings, context_length=CONTEXT, task=task, facts={})
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("hf") / "bundle", TRANSFORMER)


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    EXPORTERS.get("hf").build().write(bundle, folder)
    return folder


@pytest.fixture(scope="module")
def alone(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What transformers makes of the folder where this project is not there."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-c", ALONE, str(exported), json.dumps(HOSTILE)]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_logits_and_greedy_tokens_are_those_of_the_model(bundle: Path, exported: Path) -> None:
    prompts = [[0, 5, 9, 17, 3], [0], [0, *range(20, 40)]]
    expected = ask(OwnModel(load_bundle(bundle).model), prompts, greedy_tokens=16)
    parity = compare(expected, ask_in_fresh_process("hf", exported, prompts, greedy_tokens=16).answers, prompts)
    assert parity.largest_difference < 1e-4
    assert parity.same_greedy_prompts == 3
    assert np.ptp(expected[0].logits) > 1


def test_transformers_needs_nothing_of_this_project(alone: dict) -> None:
    assert alone["class"] == "Qwen3ForCausalLM"
    assert alone["text"].startswith("The cat")
    assert alone["beams"] == 3


def test_a_padded_batch_gives_what_each_prompt_alone_gives(alone: dict, bundle: Path) -> None:
    assert alone["together"] == alone["alone"]
    model, tokenizer, _ = load_bundle(bundle)
    prompts = [
        [tokenizer.separator_id, *ids] for ids in tokenizer.encode(["Once there", "A", "The cat sat on the mat"])
    ]
    greedy = Sampling(temperature=0, top_k=0, top_p=1)
    assert alone["together"] == generate(
        model, prompts, max_new_tokens=8, sampling=greedy, stop_ids=frozenset(), seed=0
    )


def test_texts_get_the_models_own_tokens_after_a_separator(alone: dict, bundle: Path) -> None:
    tokenizer = Tokenizer.load(bundle)
    assert alone["ids"] == [[tokenizer.separator_id, *ids] for ids in tokenizer.encode(HOSTILE)]


def test_a_prompt_is_closed_where_the_model_was_trained_so(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", TRANSFORMER, prompt="{text}")
    (tmp_path / "hf").mkdir()
    EXPORTERS.get("hf").build().write(bundle, tmp_path / "hf")
    tokenizer = Tokenizer.load(tmp_path / "hf")
    ids = tokenizer.inner.encode("The cat").ids
    assert (ids[0], ids[-1]) == (tokenizer.separator_id, tokenizer.separator_id)
    assert ids[1:-1] == tokenizer.encode(["The cat"])[0]


def test_two_exports_write_the_same_bytes(bundle: Path, exported: Path, tmp_path: Path) -> None:
    EXPORTERS.get("hf").build().write(bundle, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    }


def test_a_model_without_a_form_of_the_hub_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMS, "transformer")
    refusal = EXPORTERS.get("hf").build().refusal(load_bundle(bundle))
    assert refusal is not None
    assert refusal.endswith("found transformer")


@pytest.mark.parametrize(
    ("decoding", "settings"),
    [
        (SAMPLING, {"max_new_tokens": 9, "do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.95}),
        (GREEDY, {"max_new_tokens": 9, "do_sample": False}),
        (
            BEAMS,
            {
                "max_new_tokens": 7,
                "do_sample": False,
                "num_beams": 4,
                "length_penalty": 0.5,
                "early_stopping": False,
            },
        ),
        (BEAMS | {"beams": 1}, {"max_new_tokens": 7, "do_sample": False}),
        ({"name": "ranking"}, {"max_new_tokens": 32, "do_sample": False}),
    ],
)
def test_the_folder_decodes_as_the_task_does(decoding: dict, settings: dict, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", TRANSFORMER, prompt="{text}", decoding=decoding)
    (tmp_path / "hf").mkdir()
    EXPORTERS.get("hf").build().write(bundle, tmp_path / "hf")
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    assert read_json(tmp_path / "hf" / "generation_config.json") == ids | settings

    from transformers import GenerationConfig

    GenerationConfig.from_pretrained(tmp_path / "hf").validate(strict=True)


@pytest.mark.parametrize("decoding", [SAMPLING, BEAMS], ids=["sampling", "beams"])
def test_parity_is_asked_of_greedy_decoding_however_the_folder_decodes(decoding: dict, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", TRANSFORMER, prompt="{text}", decoding=decoding)
    (tmp_path / "hf").mkdir()
    exporter = EXPORTERS.get("hf").build()
    exporter.write(bundle, tmp_path / "hf")
    prompts = [[0, 5, 9, 17, 3], [0, *range(20, 24)]]
    expected = ask(OwnModel(load_bundle(bundle).model), prompts, greedy_tokens=16)
    found = ask(exporter.load(tmp_path / "hf"), prompts, greedy_tokens=16)
    assert [answer.greedy for answer in found] == [answer.greedy for answer in expected]
