"""Tiny bundles of each task, with weights large enough that answers differ."""

from pathlib import Path
from typing import Any

import torch

from lmlab.bundle import build_model, save_bundle
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer import train_tokenizer
from tests.corpus import texts, tokenizer_settings
from tests.training.train_tiny import MODEL_SETTINGS

CONTEXT = 64
GREEDY = {"name": "sampling", "max_new_tokens": 12, "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0}}
SAMPLING = {"name": "sampling", "max_new_tokens": 12, "sampling": {"temperature": 0.9, "top_k": 0, "top_p": 0.9}}
BEAM = {"name": "beam", "max_new_tokens": 10, "beams": 3, "length_penalty": 1.0}
UNCUT = {"max_prompt_tokens": None, "field": None, "side": "end"}

TASKS: dict[str, LearnedTask] = {
    name: LearnedTask.model_validate({"name": name, "version": 1, "choices": [], "cutting": UNCUT, **values})
    for name, values in {
        "language_modeling": {"prompt": "", "decoding": SAMPLING},
        "translation": {"prompt": "{source}", "decoding": BEAM},
        "question_answering": {
            "prompt": "{context}\n\n{question}",
            "decoding": GREEDY,
            "cutting": {"max_prompt_tokens": 30, "field": "context", "side": "end"},
        },
        "summarization": {"prompt": "{document}", "decoding": BEAM},
        "classification": {"prompt": "{text}", "decoding": {"name": "ranking"}, "choices": ["cat", "dog", "tree"]},
    }.items()
}
RECORDS: dict[str, dict[str, str]] = {
    "language_modeling": {"text": "the cat "},
    "translation": {"source": "the dog sees"},
    "question_answering": {"context": "the cat likes the tree.", "question": "what?"},
    "summarization": {"document": "the cat sees the dog."},
    "classification": {"text": "the bird"},
}


def tiny_bundle(folder: Path, task: str, *, model: str = "transformer", tokenizer: str = "bpe", **changes: Any) -> Path:
    """A bundle of random weights for this task, in a new folder."""
    values = {"bpe": {"vocabulary_size": 300, "min_frequency": 2, "split_digits": False}}
    kinds = {**values, "characters": {"min_frequency": 1}}
    trained = train_tokenizer(tokenizer_settings(tokenizer, **kinds[tokenizer]), iter(texts(100, seed=1)))
    torch.manual_seed(0)
    settings = MODEL_SETTINGS[model]
    built = build_model(settings, vocabulary_size=trained.vocabulary_size, context_length=CONTEXT, path="model")
    for weight in built.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.3)
    folder.mkdir(parents=True)
    learned = TASKS[task].model_copy(update=changes)
    save_bundle(folder, built, trained, settings=settings, context_length=CONTEXT, task=learned, facts={"seed": 1})
    return folder
