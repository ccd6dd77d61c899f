"""The hub's form of tiny LSTM and GRU models: against ours, in padded batches, and where this project is not there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from lmlab.bundle import load_bundle
from lmlab.decoding.beam import beam_search
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import OwnModel
from lmlab.export.parity import ask, compare
from lmlab.files import read_json, write_json
from lmlab.models.architectures.language_model import LanguageModel
from tests.export.test_hf import BEAMS, tiny_bundle

if TYPE_CHECKING:
    from lmlab.export.hub.modeling_lmlab import LmlabRecurrentForCausalLM

VARIANTS = {f"{cell}-{span}": (cell, span) for cell in ("lstm", "gru") for span in (0, 3)}
PROMPTS = [[0, 5, 9, 17, 3, 250, 4, 4, 8], [0, 7, 7, 9], [0]]
LONGEST = len(PROMPTS[0])
# Sums of a few dozen products in float32, in another order: differences are of some 1e-7.
ROUNDING = 2e-6
# Nothing of this project can be imported there.
ALONE = """
import json, sys
sys.modules["lmlab"] = None
sys.modules["pipelines"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

said = {}
for folder in sys.argv[1:]:
    model, loading = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    batch = tokenizer(["Once there", "A"], padding=True, return_tensors="pt")
    write = pipeline("text-generation", model=folder, trust_remote_code=True)
    texts = write(["The cat", "A"], max_new_tokens=5, do_sample=True, num_return_sequences=2, batch_size=2)
    said[folder] = {
        "class": type(model).__name__,
        "loading": {key: sorted(map(str, value)) for key, value in loading.items()},
        "logits": model(torch.tensor([[0, 5, 9, 17, 3]])).logits[0, -1].tolist(),
        "beams": model.generate(**batch, max_new_tokens=4, num_beams=3, do_sample=False).tolist(),
        "texts": [[one["generated_text"] for one in several] for several in texts],
    }
model.save_pretrained(sys.argv[1] + "-again")
print(json.dumps(said), flush=True)
try:
    AutoModelForCausalLM.from_pretrained(sys.argv[1])
except ValueError as error:
    # Its question to the user ends without a line break.
    print()
    print(json.dumps(str(error)))
"""


class Variant(NamedTuple):
    bundle: Path
    folder: Path
    ours: LanguageModel
    theirs: "LmlabRecurrentForCausalLM"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """A bundle of each variant, and its export."""
    made = {}
    for name, (cell, span) in VARIANTS.items():
        settings = {"embedding_width": 12, "width": 16, "layers": 2, "dropout": 0.1, "attention_span": span}
        home = tmp_path_factory.mktemp(name)
        bundle = tiny_bundle(home / "bundle", {"name": cell, **settings}, prompt="{text}", decoding=BEAMS)
        (home / name).mkdir()
        EXPORTERS.get("hf").build().write(bundle, home / name)
        made[name] = (bundle, home / name)
    return made


@pytest.fixture(scope="module")
def variants(folders: dict[str, tuple[Path, Path]]) -> dict[str, Variant]:
    from lmlab.export.hub.modeling_lmlab import LmlabRecurrentForCausalLM

    made = {}
    for name, (bundle, folder) in folders.items():
        theirs = LmlabRecurrentForCausalLM.from_pretrained(folder).eval()
        # All that is asked of the models here runs to its full length.
        theirs.generation_config.eos_token_id = None
        made[name] = Variant(bundle, folder, load_bundle(bundle).model, theirs)
    return made


@pytest.fixture(params=list(VARIANTS))
def variant(variants: dict[str, Variant], request: pytest.FixtureRequest) -> Variant:
    return variants[request.param]


@pytest.fixture(scope="module")
def alone(folders: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What transformers makes of all folders where this project is not there, line by line."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-W", "error", "-c", ALONE, *(str(folder) for _, folder in folders.values())]
    done = subprocess.run(
        command,
        cwd=elsewhere,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(elsewhere)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Its log; Python's own warnings are errors there.
    assert "[transformers]" not in done.stderr
    return done.stdout.splitlines()


def _padded(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The prompts with a token before them that the mask hides, and the mask."""
    longest = max(map(len, prompts))
    ids = [[11] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def _written(model: "LmlabRecurrentForCausalLM", prompts: Sequence[Sequence[int]], **settings: object) -> list:
    """What generate adds to each prompt of one padded batch."""
    ids, mask = _padded(prompts)
    return model.generate(ids, attention_mask=mask, **settings)[:, ids.shape[1] :].tolist()  # type: ignore[operator]


@torch.inference_mode()
def _logits(model: LanguageModel, prompt: Sequence[int]) -> Tensor:
    return model(torch.tensor([prompt]))[0][0]  # (time, vocabulary)


def test_logits_are_those_of_the_model(variant: Variant) -> None:
    for prompt in PROMPTS:
        expected = _logits(variant.ours, prompt)
        assert expected.std() > 0.1
        with torch.inference_mode():
            found = variant.theirs(torch.tensor([prompt])).logits[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)


def test_the_exporter_finds_parity_in_a_folder_that_searches_with_beams(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import dynamic_module_utils

    # Where transformers copies the code of a folder to, and imports it from.
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert read_json(variant.folder / "generation_config.json")["num_beams"] == 4
    expected = ask(OwnModel(load_bundle(variant.bundle).model), PROMPTS, greedy_tokens=64)
    found = ask(EXPORTERS.get("hf").build().load(variant.folder), PROMPTS, greedy_tokens=64)
    parity = compare(expected, found, PROMPTS)
    assert parity.largest_difference < 1e-4
    assert parity.same_greedy_prompts == len(PROMPTS)


def test_logits_are_computed_where_they_are_asked_for(variant: Variant) -> None:
    prompt = torch.tensor(PROMPTS[:1])
    with torch.inference_mode():
        whole = variant.theirs(prompt).logits
        last, two = (variant.theirs(prompt, logits_to_keep=kept).logits for kept in (1, torch.tensor([3, 5])))
    torch.testing.assert_close(last, whole[:, -1:], rtol=0, atol=ROUNDING)
    torch.testing.assert_close(two, whole[:, [3, 5]], rtol=0, atol=ROUNDING)


def test_a_padded_batch_gives_each_prompt_the_logits_that_it_has_alone(variant: Variant) -> None:
    ids, mask = _padded(PROMPTS)
    with torch.inference_mode():
        logits = variant.theirs(ids, attention_mask=mask).logits
        unmasked = variant.theirs(ids).logits
    for row, prompt in enumerate(PROMPTS):
        found, expected = logits[row, LONGEST - len(prompt) :], _logits(variant.ours, prompt)
        torch.testing.assert_close(found, expected, rtol=0, atol=ROUNDING)
    # Without the mask the padding is read, which shows.
    assert (logits[2, -1] - unmasked[2, -1]).abs().max() > 0.01


def test_hidden_tokens_are_skipped_wherever_they_stand(variant: Variant) -> None:
    ids = torch.tensor([[0, 11, 7, 11, 7, 9], [0, 7, 7, 9, 11, 11], [11, 11, 11, 11, 11, 11]])
    mask = torch.tensor([[1, 0, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
    expected = _logits(variant.ours, [0, 7, 7, 9])
    with torch.inference_mode():
        read = variant.theirs(ids, attention_mask=mask)
        after = variant.theirs(torch.tensor([[3], [3], [0]]), past_key_values=read.past_key_values).logits[:, 0]
    torch.testing.assert_close(read.logits[0][mask[0].bool()], expected, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(read.logits[1][mask[1].bool()], expected, rtol=0, atol=ROUNDING)
    following = _logits(variant.ours, [0, 7, 7, 9, 3])[-1]
    torch.testing.assert_close(
        after, torch.stack([following, following, _logits(variant.ours, [0])[0]]), rtol=0, atol=2e-6
    )


def test_text_read_in_chunks_is_text_read_at_once(variant: Variant) -> None:
    ids, mask = _padded(PROMPTS)
    with torch.inference_mode():
        whole = variant.theirs(ids, attention_mask=mask).logits
        state = None
        # The second prompt begins in the second chunk, the third one in the last.
        for start, end in ((0, 2), (2, 6), (6, 9)):
            read = variant.theirs(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=state)
            state = read.past_key_values
            is_real = mask[:, start:end].bool()
            torch.testing.assert_close(read.logits[is_real], whole[:, start:end][is_real], rtol=0, atol=ROUNDING)
    assert state.get_seq_length() == LONGEST


def test_rows_of_a_state_can_be_chosen_and_repeated(variant: Variant) -> None:
    ids, mask = _padded(PROMPTS)
    follows = torch.tensor([[3], [3], [3]])

    def after(change: str, argument: object) -> Tensor:
        state = variant.theirs(ids, attention_mask=mask).past_key_values
        getattr(state, change)(argument)
        return variant.theirs(follows, past_key_values=state).logits[:, 0]

    with torch.inference_mode():
        expected = torch.stack([_logits(variant.ours, [*prompt, 3])[-1] for prompt in PROMPTS])
        torch.testing.assert_close(after("reorder_cache", torch.tensor([2, 0, 0])), expected[[2, 0, 0]])
        follows = torch.tensor([[3]] * 6)
        torch.testing.assert_close(after("batch_repeat_interleave", 2), expected[[0, 0, 1, 1, 2, 2]])


def test_greedy_decoding_of_a_padded_batch_is_that_of_each_prompt_alone(variant: Variant) -> None:
    greedy = {"max_new_tokens": 12, "do_sample": False, "num_beams": 1}
    together = _written(variant.theirs, PROMPTS, **greedy)
    assert together == [_written(variant.theirs, [prompt], **greedy)[0] for prompt in PROMPTS]
    assert together == _written(variant.theirs, PROMPTS, use_cache=False, **greedy)


def test_beam_search_in_a_padded_batch_finds_what_ours_finds_for_each_prompt(variant: Variant) -> None:
    # Without a stop token and without a penalty both searches are the same.
    search = {"max_new_tokens": 6, "num_beams": 3, "length_penalty": 0.0, "do_sample": False}
    together = _written(variant.theirs, PROMPTS, **search)
    assert together == [_written(variant.theirs, [prompt], **search)[0] for prompt in PROMPTS]
    ours = beam_search(
        variant.ours,
        PROMPTS,
        beams=3,
        num_best=1,
        max_new_tokens=6,
        length_penalty=0.0,
        stop_id=-1,
        batch_rows=9,
    )
    assert together == [best.tokens for [best] in ours]
    several = _written(variant.theirs, PROMPTS, num_return_sequences=2, **search)
    assert several[::2] == together
    assert several[1::2] != together


def test_sampling_draws_several_answers_for_each_prompt(variant: Variant) -> None:
    sampling = {"max_new_tokens": 5, "do_sample": True, "num_beams": 1, "num_return_sequences": 2}
    torch.manual_seed(1)
    drawn = _written(variant.theirs, PROMPTS, top_k=0, temperature=2.0, **sampling)
    assert (len(drawn), len({tuple(tokens) for tokens in drawn})) == (6, 6)
    # From one token there is nothing to choose.
    likeliest = _written(variant.theirs, PROMPTS, max_new_tokens=5, do_sample=False, num_beams=1)
    assert _written(variant.theirs, PROMPTS, top_k=1, **sampling) == [row for row in likeliest for _ in range(2)]


def test_labels_give_the_loss_of_the_next_tokens_and_gradients_that_are_numbers(variant: Variant) -> None:
    ids = torch.tensor([PROMPTS[0], PROMPTS[1] + [11] * 5])
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    variant.theirs.zero_grad()
    loss = variant.theirs(ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
    nats = [
        functional.cross_entropy(_logits(variant.ours, prompt)[:-1], torch.tensor(prompt[1:]), reduction="sum")
        for prompt in PROMPTS[:2]
    ]
    torch.testing.assert_close(loss.detach(), (nats[0] + nats[1]) / 11)  # 8 + 3 tokens have one before them
    loss.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in variant.theirs.parameters())


def test_a_fresh_model_begins_like_any_and_ties_its_output(variant: Variant) -> None:
    from lmlab.export.hub.modeling_lmlab import LmlabRecurrentConfig, LmlabRecurrentForCausalLM

    fresh = LmlabRecurrentForCausalLM(LmlabRecurrentConfig(**variant.theirs.config.to_dict()))
    assert fresh.lm_head.weight is fresh.embedding.weight
    assert all(weight.isfinite().all() for weight in fresh.parameters())
    assert 0.1 < float(fresh.embedding.weight.detach().std()) * 12**0.5 < 2


def test_the_embedding_is_stored_once(variant: Variant) -> None:
    names = set(load_file(variant.folder / "model.safetensors"))
    assert "embedding.weight" in names
    assert "lm_head.weight" not in names
    assert variant.theirs.lm_head.weight is variant.theirs.embedding.weight


def test_transformers_needs_nothing_of_this_project(alone: list[str], variants: dict[str, Variant]) -> None:
    said = json.loads(alone[0])
    for variant in variants.values():
        found = said[str(variant.folder)]
        assert found["class"] == "LmlabRecurrentForCausalLM"
        assert set(found["loading"]) >= {"missing_keys", "unexpected_keys", "mismatched_keys"}
        assert not any(found["loading"].values())
        expected = _logits(variant.ours, [0, 5, 9, 17, 3])[-1]
        torch.testing.assert_close(torch.tensor(found["logits"]), expected, rtol=0, atol=ROUNDING)
        assert len(found["beams"]) == 2
        assert [len(several) for several in found["texts"]] == [2, 2]
        assert all(text.startswith("The cat") for text in found["texts"][0])


def test_what_transformers_saves_again_has_the_code_and_the_same_weights(
    alone: list[str], folders: dict[str, tuple[Path, Path]]
) -> None:
    assert alone
    _, first = next(iter(folders.values()))
    _, last = list(folders.values())[-1]
    again = first.with_name(f"{first.name}-again")
    assert (again / "modeling_lmlab.py").read_bytes() == (last / "modeling_lmlab.py").read_bytes()
    saved, stored = load_file(again / "model.safetensors"), load_file(last / "model.safetensors")
    assert {name: weight.tolist() for name, weight in saved.items()} == {
        name: weight.tolist() for name, weight in stored.items()
    }


def test_code_of_a_folder_runs_for_those_alone_who_trust_it(alone: list[str]) -> None:
    assert "trust_remote_code=True" in json.loads(alone[-1])


@pytest.mark.parametrize("part", ["code", "map"])
def test_parity_runs_no_code_but_our_own(part: str, variants: dict[str, Variant], tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    shutil.copytree(variants["gru-0"].folder, folder)
    if part == "code":
        code = folder / "modeling_lmlab.py"
        code.write_text(code.read_text(encoding="utf-8") + "\nraise SystemExit\n", encoding="utf-8")
    else:
        config = read_json(folder / "config.json")
        other = {"AutoModelForCausalLM": "somebody/else--modeling_lmlab.LmlabRecurrentForCausalLM"}
        write_json(folder / "config.json", config | {"auto_map": config["auto_map"] | other})
    with pytest.raises(ValueError, match="contains custom code"):
        EXPORTERS.get("hf").build().load(folder)


def test_two_exports_write_the_same_bytes(variant: Variant, tmp_path: Path) -> None:
    EXPORTERS.get("hf").build().write(variant.bundle, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in variant.folder.iterdir()
    }


def test_an_unknown_cell_is_refused() -> None:
    from lmlab.export.hub.modeling_lmlab import LmlabRecurrentConfig

    with pytest.raises(ValueError, match="cell: expected one of .*'gru', 'lstm'.*, found 'rnn'"):
        LmlabRecurrentConfig(cell="rnn")
