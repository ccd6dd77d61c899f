"""How a task's answers are decoded, in the words of transformers' GenerationConfig."""

from typing import Any

from lmlab.data.task import BeamDecoding, DecodingSettings, SamplingSettings

LABEL_TOKENS = 32


def generation_settings(decoding: DecodingSettings) -> dict[str, Any]:
    """Keys of generation_config.json; greedy where the task ranks its choices, for which transformers has no word."""
    if decoding.name == "sampling":
        return {"max_new_tokens": decoding.max_new_tokens, **_sampling(decoding.sampling)}
    if decoding.name == "beam":
        return {"max_new_tokens": decoding.max_new_tokens, "do_sample": False, **_search(decoding)}
    # The likeliest tokens are a label most of the time.
    return {"max_new_tokens": LABEL_TOKENS, "do_sample": False}


def _sampling(settings: SamplingSettings) -> dict[str, Any]:
    if settings.temperature == 0:
        return {"do_sample": False}
    # top_k is written where it is 0 too, which is no bound: unwritten it would be 50.
    return {"do_sample": True, **settings.model_dump()}


def _search(settings: BeamDecoding) -> dict[str, Any]:
    if settings.beams == 1:
        return {}
    # The exponents are equal, the rankings are not: transformers divides a log likelihood by length ** penalty, lmlab
    # by ((5 + length) / 6) ** penalty, which favours long answers less. At 0 both divide by nothing.
    # Without early stopping the search ends, as lmlab's does, when the best live beam could not enter the finished ones
    # as it is now.
    return {"num_beams": settings.beams, "length_penalty": settings.length_penalty, "early_stopping": False}
