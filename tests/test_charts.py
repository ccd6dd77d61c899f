"""Charts are decided by their data to the byte, well-formed, and safe with any text."""

from xml.etree import ElementTree as ET

import pytest

from lmlab.charts import (
    Bar,
    Grid,
    Line,
    Point,
    bar_chart,
    heat_map,
    line_chart,
    linear_ticks,
    log_ticks,
    places_of,
    shortened_label,
    text_width,
    tick_text,
    visible,
)

LINES = [Line("a <b>", [Point(1, 2), Point(2, 3)]), Line("c & d", [Point(1, 1)])]


def draw() -> str:
    return line_chart(LINES, title='x < "y" & z', x_label="<x>", y_label="&y")


def test_the_same_data_gives_the_same_bytes() -> None:
    assert draw() == draw()


def test_text_is_escaped() -> None:
    texts = [element.text for element in ET.fromstring(draw()).iter() if element.tag.endswith("}text")]
    assert {'x < "y" & z', "<x>", "&y", "a <b>", "c & d"} <= set(texts)


def test_points_stand_where_the_axes_say() -> None:
    svg = ET.fromstring(
        line_chart([Line("a", [Point(0, 0), Point(5, 5), Point(10, 10)])], title="", x_label="", y_label="")
    )
    path = next(element for element in svg.iter() if element.tag.endswith("}polyline")).attrib["points"]
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in path.split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.02)
    assert y0 > y2


@pytest.mark.parametrize("points", [[], [Point(3, 4)], [Point(3, 4), Point(5, 4)]])
def test_lines_of_few_points_are_drawn(points: list[Point]) -> None:
    drawn = ET.fromstring(line_chart([Line("a", points)], title="t", x_label="x", y_label="y"))
    assert drawn.tag.endswith("}svg")


def test_bars_are_as_long_as_their_values() -> None:
    svg = ET.fromstring(bar_chart([Bar("a", 1.0), Bar("b", 2.0, 1.5, 2.5, is_main=True)], title="t", x_label="x"))
    widths = [float(element.attrib["width"]) for element in svg.iter() if element.tag.endswith("}rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.02)


def test_ticks_are_round() -> None:
    assert linear_ticks(0.1, 1.05) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert log_ticks(1, 300) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert [tick_text(tick) for tick in (0.1 + 0.2, 1200, 20_000, 2_500_000)] == ["0.3", "1200", "20k", "2.5M"]


def test_cells_are_shaded_by_their_share_of_the_highest_number() -> None:
    grid = Grid([[0.0, 2.0], [4.0, 1.0]], ["r", "s"], ["c", "d"], [["", "2"], ["4", "1"]])
    svg = ET.fromstring(heat_map(grid, title="t", caption="u"))
    cells = [element.attrib for element in svg.iter() if element.attrib.get("class") == "f0"]
    assert [cell["fill-opacity"] for cell in cells] == ["0.50", "1.00", "0.25"]
    assert float(cells[0]["x"]) - float(cells[1]["x"]) == pytest.approx(22)
    assert float(cells[1]["y"]) - float(cells[0]["y"]) == pytest.approx(22)
    light = [element.text for element in svg.iter() if element.attrib.get("class") == "cell on"]
    assert light == ["4"]


def test_a_heat_map_is_as_wide_as_its_columns_need() -> None:
    grid = Grid([[1.0] * 60], ["r"], ["c"] * 60)
    assert float(ET.fromstring(heat_map(grid, title="t", caption="u")).attrib["width"]) > 60 * 22


@pytest.mark.parametrize("grid", [Grid([], [], []), Grid([[0.0]], ["a"], ["b"])])
def test_a_heat_map_of_nothing_is_drawn(grid: Grid) -> None:
    assert ET.fromstring(heat_map(grid, title="t", caption="u")).tag.endswith("}svg")


def test_what_xml_cannot_hold_is_replaced() -> None:
    svg = ET.fromstring(bar_chart([Bar("a\x00\ud800\uffff", 1.0)], title="\x1b", x_label="x", heading="h"))
    assert "a\N{REPLACEMENT CHARACTER}" + "\N{REPLACEMENT CHARACTER}" * 2 in [element.text for element in svg.iter()]


def test_labels_are_shortened_and_made_visible() -> None:
    assert shortened_label("abcdef", 4) == "abc…"
    assert visible("a b\t\u200b\u3000é") == "a␣b\\t\\u200b\\u3000é"
    assert text_width("天a") == pytest.approx(3 * text_width("a"))


def test_numbers_that_go_up_to_tens_get_one_place() -> None:
    assert [places_of(values) for values in ([34.12, 2.0], [0.912], [-12.0], [])] == [1, 3, 1, 3]
