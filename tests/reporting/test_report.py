"""The page says what the reports say, in the same bytes each time, and hostile text does nothing in it."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.files import write_seal
from lmlab.reporting.report import ReportInputs, ReportOutputs, ReportSettings, report
from lmlab.reporting.wording import shortened, size_text
from lmlab.run import Run
from tests.reporting.evaluations import EVALUATIONS, HOSTILE, LANGUAGE_MODELING

SIZES = {"records": 10, "bytes": 2000, "characters": 1900}
COUNTS = {
    "records": 10,
    "tokens": 500,
    "bytes": 2000,
    "bytes_per_token": 4.0,
    "tokens_per_word": 1.5,
    "unknown_tokens": 0,
    "unknown_share": 0.0,
    "cut_prompts": 7,
    "prompts_in_training": 0,
    "longest_prompt": 300,
    "longest_example": 312,
}
SPLITS = ("train", "validation", "test")
CLEANING = {
    "source": {"name": "files", "digest": "abc123"},
    "rows": dict.fromkeys(SPLITS, 10),
    "before": SIZES,
    "after": SIZES,
    "splits": dict.fromkeys(SPLITS, SIZES),
    "rules": [
        {
            "name": "markup",
            "changed": 3,
            "dropped": 1,
            "examples": [
                {"id": "<i>1</i>", "before": HOSTILE, "after": "fine", "why": ""},
                {"id": "2", "before": "gone", "after": "", "why": "too <short>"},
            ],
        }
    ],
    "leaked": 2,
}
ENCODING = {
    "tokenizer": {"name": "bpe", "vocabulary_size": 300},
    "splits": dict.fromkeys(SPLITS, COUNTS),
    "vocabulary_used": 290,
    "vocabulary_used_share": 290 / 300,
}
TRAINING = {
    "model": "lstm",
    "parameters": 1_200_000,
    "embedding_parameters": 200_000,
    "steps": 40,
    "tokens": 9000,
    "best_step": 30,
    "validation_nats_per_token": 3.0,
    "validation_bits_per_byte": 1.5,
    "stopped_by": "early stop",
    "padding_share": 0.042,
    "started_from": None,
}
EXPORT = {
    "num_prompts": 8,
    "artifacts": [
        {"name": "bundle", "files": ["a", "b"], "bytes": 9, "largest_difference": 0.0, "same_greedy_tokens": 8}
    ],
}
HISTORY = (
    "step,tokens,learning_rate,train_nats_per_token,validation_nats_per_token,validation_bits_per_byte\n"
    "10,100,0.001,5.0,,\n20,200,0.002,4.0,4.5,2.0\n"
)


@pytest.fixture
def inputs(tmp_path: Path) -> ReportInputs:
    reports = {
        "cleaning": CLEANING,
        "encoding": ENCODING,
        "training": TRAINING,
        "evaluation": LANGUAGE_MODELING,
        "export_report": EXPORT,
    }
    for name, value in reports.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / "history.csv").write_text(HISTORY, encoding="utf-8")
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "baselines.svg").write_text("<svg><text>the baselines</text></svg>", encoding="utf-8")
    write_seal(plots, {})
    paths = {name: tmp_path / f"{name}.json" for name in reports}
    return ReportInputs(history=tmp_path / "history.csv", plots=plots, **paths)


def render(inputs: ReportInputs, folder: Path) -> tuple[str, str]:
    outputs = ReportOutputs(folder / "report.html", folder / "report.md")
    report(ReportSettings(), inputs, outputs, Run())
    return outputs.html.read_text(encoding="utf-8"), outputs.markdown.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Tags seen, and what stands inside <pre>."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.links: list[str] = []
        self.blocks: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "pre":
            self.blocks.append("")

    def handle_data(self, data: str) -> None:
        if self.seen and self.seen[-1] in ("pre", "span") and self.blocks:
            self.blocks[-1] += data


def test_both_texts_say_the_headline_number_with_its_interval(inputs: ReportInputs, tmp_path: Path) -> None:
    for text in render(inputs, tmp_path):
        assert "1.234" in text
        assert "1.200 to 1.300" in text
        assert "xz, after the training text" in text


def test_the_page_holds_no_script_and_nothing_from_outside(inputs: ReportInputs, tmp_path: Path) -> None:
    tags = Tags(render(inputs, tmp_path)[0])
    assert "script" not in tags.seen
    assert all(link.startswith("#") for link in tags.links)


def test_hostile_text_stands_in_the_page_as_it_is(inputs: ReportInputs, tmp_path: Path) -> None:
    blocks = Tags(render(inputs, tmp_path)[0]).blocks
    shown = HOSTILE.replace("\ud800", "?")
    assert shown in [block.strip() for block in blocks]


def test_hostile_text_cannot_leave_its_block_in_markdown(inputs: ReportInputs, tmp_path: Path) -> None:
    lines = render(inputs, tmp_path)[1].splitlines()
    assert lines.count("````text") == lines.count("````") == 2
    assert "# heading" not in [line for line in _outside_fences(lines)]
    assert not any("<script" in line for line in _outside_fences(lines))


def _outside_fences(lines: list[str]) -> list[str]:
    outside, fence = [], ""
    for line in lines:
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.removesuffix("text")
        else:
            outside.append(line)
    return outside


def test_the_same_inputs_give_the_same_bytes(inputs: ReportInputs, tmp_path: Path) -> None:
    assert render(inputs, tmp_path / "a") == render(inputs, tmp_path / "b")


def test_curves_and_plots_stand_in_the_page(inputs: ReportInputs, tmp_path: Path) -> None:
    page = render(inputs, tmp_path)[0]
    assert "<text>the baselines</text>" in page
    assert "Loss while training" in page


@pytest.mark.parametrize("name", ["cleaning", "encoding", "training", "history", "evaluation", "export_report"])
def test_a_missing_file_is_named(inputs: ReportInputs, tmp_path: Path, name: str) -> None:
    getattr(inputs, name).unlink()
    with pytest.raises(InputError, match=f"{name}.*does not exist"):
        render(inputs, tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_lacks_a_number_is_a_fault_in_one_line(inputs: ReportInputs, tmp_path: Path) -> None:
    inputs.training.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"report\.html.*parameters|report\.html.*model"):
        render(inputs, tmp_path)


@pytest.mark.parametrize("text", ["", "step\n1\n", "step,train_nats_per_token\nx,y\n"])
def test_a_history_that_is_none_is_named(inputs: ReportInputs, tmp_path: Path, text: str) -> None:
    inputs.history.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"history\.csv"):
        render(inputs, tmp_path)


def rendered(inputs: ReportInputs, folder: Path, task: str, *plots: str) -> tuple[str, str]:
    inputs.evaluation.write_text(json.dumps(EVALUATIONS[task]), encoding="utf-8")
    for name in plots:
        (inputs.plots / f"{name}.svg").write_text(f"<svg><text>plot {name}</text></svg>", encoding="utf-8")
    write_seal(inputs.plots, {})
    return render(inputs, folder)


SECTIONS = {
    "language_modeling": {"samples"},
    "translation": {"examples", "attention"},
    "question_answering": {"examples"},
    "summarization": {"examples"},
    "classification": {"examples", "errors"},
}


@pytest.mark.parametrize("task", SECTIONS)
def test_a_section_stands_in_the_page_where_it_applies(inputs: ReportInputs, tmp_path: Path, task: str) -> None:
    page, markdown = rendered(inputs, tmp_path, task, *(["attention_1"] if task == "translation" else []))
    tags = Tags(page)
    for name in ("samples", "examples", "errors", "attention"):
        applies = name in SECTIONS[task]
        assert (f'<section id="{name}">' in page) == (f"#{name}" in tags.links) == applies
        assert (f"\n## {name.capitalize()}\n" in markdown) == applies
    assert "script" not in tags.seen
    assert "\n\n\n\n" not in _without_fences(markdown)


def _without_fences(markdown: str) -> str:
    return "\n".join(_outside_fences(markdown.splitlines()))


@pytest.mark.parametrize(
    ("task", "headline"),
    [
        ("translation", "BLEU 34.1"),
        ("question_answering", "exact match 0.400"),
        ("summarization", r"ROUGE-1 0.100"),
        ("classification", "accuracy 0.912"),
    ],
)
def test_the_headline_is_the_tasks_first_metric(inputs: ReportInputs, tmp_path: Path, task: str, headline: str) -> None:
    page, markdown = rendered(inputs, tmp_path, task)
    assert f": {headline}</title>" in page
    assert "on the test split, higher is better" in page
    assert f"\n**{headline}** on the test split (95 % interval" in markdown


def test_baselines_have_every_metric_that_was_measured_for_them(inputs: ReportInputs, tmp_path: Path) -> None:
    page, markdown = rendered(inputs, tmp_path, "classification")
    assert (
        "| TF\\-IDF with logistic regression | 0.9050 (0.890 to 0.920) | 0.3000 (0.200 to 0.400) "
        "| within the intervals |"
    ) in markdown
    assert "| the most frequent label | 0.1000 | – | the model is better |" in markdown
    assert "the model needs" not in page
    assert "49.4 % of it" in rendered(inputs, tmp_path, "language_modeling")[0]


def test_examples_say_their_score_and_where_they_were_cut(inputs: ReportInputs, tmp_path: Path) -> None:
    page, markdown = rendered(inputs, tmp_path, "question_answering")
    assert "r&lt;2&gt; · exact match 0.500 · 1.23 nats a token" in page
    assert "[600 more characters]" in page
    assert "[600 more characters]" in markdown
    assert page.count("<dt>reference 2</dt>") == 3
    assert '<p class="dropped">empty</p>' in page


def test_errors_by_length_by_label_and_by_certainty_are_told(inputs: ReportInputs, tmp_path: Path) -> None:
    page, markdown = rendered(inputs, tmp_path, "classification", "confusion", "reliability", "by_prompt_length")
    assert r"| a | b\|c | 3 | 12.5 % |" in markdown
    assert "| 0.50 to 0.60 | 9 | 0.550 | 0.444 |" in markdown
    assert "| 8 to 3,000 | 19 | 31.250 |" in markdown
    for name in ("confusion", "reliability", "by_prompt_length"):
        assert f"plot {name}" in page
    assert "![Answers for each label](plots/confusion.svg)" in markdown


def test_a_task_with_prompts_tells_decoding_cutting_and_padding(inputs: ReportInputs, tmp_path: Path) -> None:
    for text in rendered(inputs, tmp_path, "translation"):
        assert "by beam search with 4 beams" in text
        assert "Too long prompts were cut: 7 of 10 here, 7 of 10 in training." in text
        assert "Padding was 4.2 % of the tokens in the training batches" in text
        assert "longest training example has 312 tokens" in text
    for text in rendered(inputs, tmp_path, "language_modeling"):
        assert "Too long prompts" not in text


def test_attention_pictures_stand_in_the_order_of_their_numbers(inputs: ReportInputs, tmp_path: Path) -> None:
    page, _ = rendered(inputs, tmp_path, "translation", "attention_10", "attention_2")
    assert page.index("plot attention_2") < page.index("plot attention_10")


def test_an_evaluation_of_another_shape_is_a_fault_in_one_line(inputs: ReportInputs, tmp_path: Path) -> None:
    inputs.evaluation.write_text('{"bits_per_byte": 1.0, "details": {}}', encoding="utf-8")
    with pytest.raises(InputError, match="the evaluation report lacks 'metrics'"):
        render(inputs, tmp_path)


def test_sizes_are_said_for_people() -> None:
    assert [size_text(size) for size in (812, 1400, 23_100_000)] == ["812 bytes", "1.4 kB", "23.1 MB"]


def test_long_examples_are_cut_and_the_cut_is_said() -> None:
    assert shortened("x" * 405) == "x" * 400 + " [5 more characters]"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "trained from scratch"),
        ({"started_from": "abc"}, "trained on from another bundle"),
        ({"model": "pretrained", "started_from": "abc"}, "trained on from a pretrained model"),
        (
            {"model": "pretrained", "started_from": "abc", "steps": 0},
            "with the weights of a pretrained model as they are",
        ),
        # An architecture of transformers with fresh weights.
        ({"model": "pretrained"}, "trained from scratch"),
    ],
)
def test_where_the_weights_come_from_is_said(inputs: ReportInputs, tmp_path: Path, changes: dict, said: str) -> None:
    inputs.training.write_text(json.dumps({**TRAINING, **changes}), encoding="utf-8")
    page, markdown = render(inputs, tmp_path)
    assert f"parameters, {said}</h1>" in page
    assert f"parameters, {said}" in markdown


def test_a_tokenizer_that_was_there_is_not_said_to_be_trained_here(inputs: ReportInputs, tmp_path: Path) -> None:
    assert "was trained on the training split alone, which uses 290 of them" in render(inputs, tmp_path)[0]
    tokenizer = {"name": "existing", "vocabulary_size": 300}
    inputs.encoding.write_text(json.dumps({**ENCODING, "tokenizer": tokenizer}), encoding="utf-8")
    page = render(inputs, tmp_path)[0]
    assert "was taken over as it is; the training split uses 290 of them" in page
    assert "trained on the training split" not in page
