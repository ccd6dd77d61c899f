"""The page's parts and where they stand."""

from typing import TYPE_CHECKING, Any, NamedTuple

from lmlab.playground.catalog import Choice
from lmlab.playground.drawing import LOADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gradio as gr
    from gradio.themes import Base

    Setting = gr.Slider | gr.Number

TITLE = "lmlab playground"
HEADING = f"""<h1 class="lm-title">{TITLE}</h1>
<p class="lm-about">Ask a trained model, or two side by side. All of it runs on the machine that serves this page.</p>
"""
MOST_FIELDS = 6
NO_MODEL = ""
"""What stands for no second model."""
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONOSPACED_FONTS = ("ui-monospace", "SFMono-Regular", "Consolas", "Liberation Mono", "monospace")


class Bounds(NamedTuple):
    """How a setting of decoding is shown."""

    label: str
    hint: str
    low: float
    high: float
    step: float


BOUNDS = {
    "max_new_tokens": Bounds("Longest answer", "in tokens", 1, 512, 1),
    "temperature": Bounds("Temperature", "0: the likeliest", 0, 2, 0.05),
    "top_k": Bounds("Top k", "0: no bound", 0, 200, 1),
    "top_p": Bounds("Top p", "1: no bound", 0.05, 1, 0.05),
    "beams": Bounds("Beams", "answers side by side", 1, 16, 1),
    "length_penalty": Bounds("Length penalty", "0: none", 0, 2, 0.1),
}


class Parts(NamedTuple):
    """The parts that change or are read; of two, the second is for the second model."""

    choosers: "list[gr.Dropdown]"
    abouts: "list[gr.HTML]"
    fault: "gr.HTML"
    fields: "list[gr.Textbox]"
    examples: "gr.Dataset"
    options: "gr.Accordion"
    settings: "dict[str, Setting]"
    seed: "gr.Number"
    wants_attention: "gr.Checkbox"
    ask: "gr.Button"
    again: "gr.Button"
    stop: "gr.Button"
    columns: "list[gr.Column]"
    panels: "list[gr.HTML]"
    shown: "gr.State"
    """A `Shown` for each model."""
    records: "gr.State"
    """The examples."""


def lay_out(first: "Sequence[Choice]", *, compared: str | None) -> Parts:
    """The parts, in the page that is being built; with these models to choose from at first."""
    import gradio as gr

    _text("heading", HEADING)
    fault = _text("fault", visible=False)
    choosers, abouts = _choosers(first, compared or NO_MODEL)
    fields = [
        gr.Textbox(lines=3, max_lines=12, visible=False, elem_id=f"field-{number}") for number in range(MOST_FIELDS)
    ]
    examples = gr.Dataset(
        components=[gr.Textbox(render=False)],
        samples=[[""]],
        label="Examples",
        type="index",
        layout="gallery",
        visible=False,
        elem_id="examples",
    )
    with gr.Row(elem_classes="lm-buttons"):
        ask = gr.Button("Ask", variant="primary", size="md", elem_id="ask", min_width=120, scale=0)
        again = gr.Button("Another answer", size="md", visible=False, elem_id="again", min_width=150, scale=0)
        stop = gr.Button("Stop", size="md", interactive=False, elem_id="stop", min_width=90, scale=0)
        wants_attention = gr.Checkbox(
            label="Show where the model looks", visible=False, elem_id="attention", container=False, min_width=230
        )
    options, settings, seed = _options()
    columns, panels = [], []
    with gr.Row(elem_classes="lm-panels"):
        for number in range(2):
            with gr.Column(min_width=300, visible=number == 0) as column:
                panels.append(_text(f"panel-{number}"))
            columns.append(column)
    return Parts(
        choosers, abouts, fault, fields, examples, options, settings, seed, wants_attention, ask, again, stop,
        columns, panels, gr.State([]), gr.State([]),
    )  # fmt: skip


def _text(name: str, value: str = "", *, visible: bool = True) -> "gr.HTML":
    import gradio as gr

    return gr.HTML(
        value, visible=visible, elem_id=name, elem_classes="lm-text", apply_default_css=False, js_on_load=None
    )


def _choosers(first: "Sequence[Choice]", second: str) -> "tuple[list[gr.Dropdown], list[gr.HTML]]":
    import gradio as gr

    choosers, abouts = [], []
    with gr.Row():
        for number, (label, value) in enumerate(
            (("Model", first[0].address if first else None), ("Compare with", second))
        ):
            with gr.Column(min_width=300, elem_classes="lm-near"):
                choosers.append(
                    gr.Dropdown(
                        choices_of(first, number), value=value, label=label, elem_id=f"model-{number}", interactive=True
                    )
                )
                abouts.append(_text(f"about-{number}", LOADING if value else ""))
    return choosers, abouts


def choices_of(choices: "Sequence[Choice]", number: int) -> list[Any]:
    """What the first (0) or second (1) chooser offers: names with addresses."""
    none = [("no other model", NO_MODEL)] if number else []
    return [*none, *((choice.name, choice.address) for choice in choices)]


def _options() -> "tuple[gr.Accordion, dict[str, Setting], gr.Number]":
    import gradio as gr

    with (
        gr.Accordion("How it answers", open=False, visible=False, elem_id="options") as options,
        gr.Row(elem_classes="lm-settings"),
    ):
        settings: dict[str, Setting] = {
            name: gr.Slider(
                bounds.low, bounds.high, value=bounds.low, step=bounds.step, label=bounds.label, info=bounds.hint,
                visible=False, elem_id=name, min_width=170, buttons=[], interactive=True,
            )
            for name, bounds in BOUNDS.items()
        }  # fmt: skip
        seed = gr.Number(
            1, label="Seed", info="same seed, same answer", precision=0, minimum=0, visible=False,
            elem_id="seed", min_width=170, interactive=True,
        )  # fmt: skip
    return options, settings, seed


def new_page() -> "gr.Blocks":
    """An empty page, which sends nothing anywhere."""
    import gradio as gr

    return gr.Blocks(analytics_enabled=False, title=TITLE)


def page_theme() -> "Base":
    """How gradio's parts look, in fonts that the system has."""
    from gradio.themes import Default
    from gradio.themes.utils import colors, sizes

    theme = Default(primary_hue=colors.blue, radius_size=sizes.radius_sm, font=SYSTEM_FONTS, font_mono=MONOSPACED_FONTS)
    # Gradio's own greys are hard to read.
    return theme.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        block_title_text_color="*neutral_700",
    )
