from lmlab.playground.asking import Shown
from lmlab.playground.attention import Picture
from lmlab.playground.drawing import error_html, panel_html

HOSTILE = "<img src=x onerror=alert(1)>"


def test_every_text_is_escaped() -> None:
    picture = Picture([[0.5]], [HOSTILE], [HOSTILE], [HOSTILE])
    shown = Shown(opening=HOSTILE, text=HOSTILE, error=HOSTILE, notes=(HOSTILE,), picture=picture)
    drawn = panel_html(HOSTILE, shown) + panel_html("", shown._replace(probabilities={HOSTILE: 1.0}))
    assert "<img" not in drawn + error_html(HOSTILE)


def test_ten_labels_are_drawn_and_the_others_summed_up() -> None:
    shares = {f"label {number}": 0.05 if number else 0.4 for number in range(13)}
    drawn = panel_html("model", Shown(text="label 0", probabilities=shares))
    assert drawn.count('class="lm-bar"') == 10
    assert "40.0 %" in drawn
    assert "3 more labels, 15.0 % together" in drawn


def test_an_empty_answer_is_said_to_be_empty() -> None:
    assert "its answer is empty" in panel_html("model", Shown())
    assert "its answer is empty" not in panel_html("model", Shown(is_busy=True))
    assert "its answer is empty" not in panel_html("model", Shown(error="text: is empty"))


def test_a_cell_is_as_strong_as_its_share_of_the_highest_weight() -> None:
    picture = Picture([[0.1, 0.4], [0.0, 0.2]], ["a", "b"], ["c", "d"], [])
    drawn = panel_html("model", Shown(text="ab", picture=picture))
    assert [drawn.count(f"--w:{share}%") for share in (0, 25, 50, 100)] == [1, 1, 1, 1]
    assert 'title="a → d: 40.0 %"' in drawn
