"""Tiny random models of transformers with tokenizers of their kinds, made by transformers and tokenizers alone."""

from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from tests.corpus import texts

TOKENS = 300


def byte_pairs() -> tokenizers.Tokenizer:
    """A tokenizer as GPT-2 has it: byte pairs, and nothing put around a text."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts(100, seed=1), trainer)
    return inner


def pieces() -> tokenizers.Tokenizer:
    """A tokenizer as T5 has it: unigram pieces, </s> put behind a text, and <pad> first."""
    inner = tokenizers.Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    inner.train_from_iterator(texts(100, seed=1), trainer)
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return inner


_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
_CAUSAL = {"vocab_size": TOKENS, "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 0}
_T5 = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "vocab_size": 128}

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {**_CAUSAL, "model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 2},
    # An output matrix of its own, and fewer key heads than heads.
    "qwen3": {**_CAUSAL, **_SMALL, "model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 8},
    # Layers that look back eight tokens.
    "mistral": {**_CAUSAL, **_SMALL, "model_type": "mistral", "num_key_value_heads": 2, "sliding_window": 8},
    # More embeddings than the tokenizer has tokens.
    "t5": {**_T5, "decoder_start_token_id": 0},
    # Gated, and an output matrix of its own.
    "flan_t5": {
        **_T5,
        "decoder_start_token_id": 0,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
}
"""config.json of each kind."""


def write_model(kind: str, folder: Path, *, seed: int = 0, scale: float = 0.4) -> Path:
    """A folder as transformers saves it; weights are large enough that a mistake shows."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    config = AutoConfig.for_model(**CONFIGS[kind])
    model = (AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM).from_config(config)
    if kind == "flan_t5":
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=scale)
    model.save_pretrained(folder)
    if config.is_encoder_decoder:
        named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces(), **named)
    else:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_pairs(), eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    return folder
