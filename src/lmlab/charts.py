"""Line charts, bar charts and heat maps as SVG text, decided by their data to the byte.

Drawn by hand rather than by matplotlib: no import of a second, no fonts or versions that change the bytes, and
the text stays text. On a screen they follow a light or dark page.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 540
LINE_HEIGHT = 300
BAR_HEIGHT = 30
# Average width of a character of the 13 px sans serif that labels are set in, on the safe side.
CHARACTER_WIDTH = 7.2
CELL = 22
COLORS = 8
LEGEND_ROW = 20
# Labels beside a chart get no longer than this, so that they leave room for it.
LABEL_CHARACTERS = 36
LEGEND_CHARACTERS = 68
CELL_LABEL_CHARACTERS = 24
# From this shade on the text in a cell is light.
DARK_SHADE = 0.55
# What no XML document may hold (XML 1.0, section 2.2), lone surrogates included.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

STYLE = """
.chart{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.chart text{fill:#3d444d}.chart .title{font-weight:600;fill:#1f2328}.chart .grid{stroke:#d8dee4;stroke-width:1}
.chart .line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.chart .s0{stroke:#1f6fb4}.chart .s1{stroke:#c9510c}.chart .s2{stroke:#2c8a4b}.chart .s3{stroke:#8250a8}
.chart .s4{stroke:#0b7f8a}.chart .s5{stroke:#b83280}.chart .s6{stroke:#8a6100}.chart .s7{stroke:#57606a}
.chart .f0{fill:#1f6fb4}.chart .f1{fill:#c9510c}.chart .f2{fill:#2c8a4b}.chart .f3{fill:#8250a8}
.chart .f4{fill:#0b7f8a}.chart .f5{fill:#b83280}.chart .f6{fill:#8a6100}.chart .f7{fill:#57606a}
.chart .d1{stroke-dasharray:8 3}.chart .d2{stroke-dasharray:2 3}
.chart .other{fill:#a9b4c0}.chart .interval{stroke:#1f2328;stroke-width:1.6}
.chart .reference{stroke:#7d8894;stroke-width:1.4;stroke-dasharray:5 4}.chart .frame{fill:none}
.chart .cell{font-size:10.5px}.chart .on{fill:#fff}
@media screen and (prefers-color-scheme:dark){.chart text{fill:#b6c0cb}
.chart .title{fill:#e6edf3}.chart .grid{stroke:#343b44}
.chart .s0{stroke:#6cb6ff}.chart .s1{stroke:#f69d50}.chart .s2{stroke:#6bc46d}.chart .s3{stroke:#c6a0e8}
.chart .s4{stroke:#4fc4cf}.chart .s5{stroke:#f08bc3}.chart .s6{stroke:#d9b04c}.chart .s7{stroke:#9aa6b2}
.chart .f0{fill:#4c9be8}.chart .f1{fill:#f69d50}.chart .f2{fill:#6bc46d}.chart .f3{fill:#c6a0e8}
.chart .f4{fill:#4fc4cf}.chart .f5{fill:#f08bc3}.chart .f6{fill:#d9b04c}.chart .f7{fill:#9aa6b2}
.chart .other{fill:#5a6673}.chart .interval{stroke:#e6edf3}.chart .on{fill:#0d1117}}
"""


class Point(NamedTuple):
    """A point of a line."""

    x: float
    y: float


class Line(NamedTuple):
    """A named line through points with rising x; one that others are compared with is drawn dashed."""

    name: str
    points: Sequence[Point]
    is_reference: bool = False


class Bar(NamedTuple):
    """A labelled number, with its interval where it has one; the chart is about the bars that are `is_main`."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    is_main: bool = False


class _Scale(NamedTuple):
    """From values between `low` and `high` to places between `begin` and `end`."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool

    def place(self, value: float) -> float:
        low, high, value = (math.log(x) if self.is_log else x for x in (self.low, self.high, value))
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)


def line_chart(
    lines: Sequence[Line], *, title: str, x_label: str, y_label: str, log_x: bool = False, markers: bool = False
) -> str:
    """An SVG of the lines over common axes; with `log_x` every x is above 0."""
    axes = _axes([point for line in lines for point in line.points], log_x=log_x)
    legend, extra = _legend(lines) if len(lines) > 1 else ([], 0.0)
    parts = [
        *_axis_parts(axes, x_label, y_label),
        *(_polyline(line, axes.across, axes.up, number, markers=markers) for number, line in enumerate(lines)),
        *legend,
    ]
    return _svg(WIDTH, LINE_HEIGHT + extra, title, parts)


class Dot(NamedTuple):
    """A named point of a scatter chart."""

    name: str
    x: float
    y: float


def scatter_chart(dots: Sequence[Dot], *, title: str, x_label: str, y_label: str, log_x: bool = False) -> str:
    """An SVG of named points; with `log_x` every x is above 0."""
    axes = _axes([Point(dot.x, dot.y) for dot in dots], log_x=log_x)
    parts = list(_axis_parts(axes, x_label, y_label))
    for number, dot in enumerate(dots):
        x, y = axes.across.place(dot.x), axes.up.place(dot.y)
        name = shortened_label(dot.name, LABEL_CHARACTERS)
        # Names on the right half stand to the left of their points, so that they stay inside.
        is_left = x < WIDTH / 2
        parts.append(f'<circle class="f{number % COLORS}" cx="{_number(x)}" cy="{_number(y)}" r="4.5"/>')
        parts.append(_text(x + (9 if is_left else -9), y + 4.5, name, anchor="start" if is_left else "end"))
    return _svg(WIDTH, LINE_HEIGHT, title, parts)


class Axis(NamedTuple):
    """A vertical axis of a parallel chart: what it shows, and each line's number or word on it."""

    name: str
    values: Sequence[float | str]


def parallel_chart(axes: Sequence[Axis], *, title: str) -> str:
    """An SVG with a line for each place in the axes' values, the first of them in front."""
    xs = [56 + (WIDTH - 120) * number / max(1, len(axes) - 1) for number in range(len(axes))]
    places = [_vertical_places(axis.values) for axis in axes]
    parts = []
    for number in reversed(range(len(axes[0].values))):
        points = " ".join(f"{_number(x)},{_number(up[number])}" for x, up in zip(xs, places, strict=True))
        parts.append(f'<polyline class="line s{number % COLORS}" points="{points}"/>')
    for x, axis, up in zip(xs, axes, places, strict=True):
        ends = f'x1="{_number(x)}" x2="{_number(x)}" y1="58" y2="{LINE_HEIGHT - 34}"'
        name = shortened_label(axis.name, CELL_LABEL_CHARACTERS)
        parts += [f'<line class="grid" {ends}/>', _text(x, 46, name, anchor="middle")]
        for value, y in _shown(axis.values, up):
            words = shortened_label(value, CELL_LABEL_CHARACTERS) if isinstance(value, str) else f"{value:.4g}"
            parts.append(_text(x + 6, y + 4.5, words))
    return _svg(WIDTH, LINE_HEIGHT, title, parts)


def _vertical_places(values: Sequence[float | str]) -> list[float]:
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        order = sorted({str(value) for value in values})
        numbers = [float(order.index(str(value))) for value in values]
    low, high = min(numbers), max(numbers)
    scale = _Scale(low, high if high > low else low + 1, LINE_HEIGHT - 40, 64, low > 0 and high / low > 20)
    return [scale.place(number) for number in numbers]


def _shown(values: Sequence[float | str], places: Sequence[float]) -> list[tuple[float | str, float]]:
    """Each word, or the least and the greatest number, with its place."""
    found = dict(zip(values, places, strict=True))
    if any(isinstance(value, str) for value in values):
        return list(found.items())
    ordered = sorted(found.items(), key=lambda pair: pair[1])
    return list(dict([ordered[0], ordered[-1]]).items())


class _Axes(NamedTuple):
    across: _Scale
    up: _Scale
    x_ticks: list[float]
    y_ticks: list[float]


def _axes(points: Sequence[Point], *, log_x: bool) -> _Axes:
    xs, ys = [point.x for point in points] or [1.0], [point.y for point in points] or [0.0]
    low, high = _widened(min(ys), max(ys))
    y_ticks = linear_ticks(low, high)
    left = 24 + CHARACTER_WIDTH * max(len(tick_text(tick)) for tick in y_ticks)
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs), min(xs) * 2 or 1.0)
    powers = log_ticks(x_low, x_high) if log_x else []
    x_ticks = powers if len(powers) > 1 else linear_ticks(x_low, x_high)
    across = _Scale(x_low, x_high, left, WIDTH - 16, log_x)
    up = _Scale(min(low, y_ticks[0]), max(high, y_ticks[-1]), LINE_HEIGHT - 46, 58, False)
    return _Axes(across, up, [tick for tick in x_ticks if x_low <= tick <= x_high], y_ticks)


def _axis_parts(axes: _Axes, x_label: str, y_label: str) -> Iterator[str]:
    yield from (_across_line(axes.up.place(tick), axes.across, tick_text(tick)) for tick in axes.y_ticks)
    for tick in axes.x_ticks:
        yield _text(axes.across.place(tick), LINE_HEIGHT - 28, tick_text(tick), anchor="middle")
    yield _text((axes.across.begin + axes.across.end) / 2, LINE_HEIGHT - 8, x_label, anchor="middle")
    yield _text(0, 42, y_label)


def bar_chart(bars: Sequence[Bar], *, title: str, x_label: str, heading: str = "") -> str:
    """An SVG of horizontal bars from 0 on, each with its number, and its interval where it has one.

    The heading stands above the labels of the bars and says what they are; `x_label` is what the bars measure.
    """
    bars = [bar._replace(label=shortened_label(bar.label, LABEL_CHARACTERS)) for bar in bars]
    left = min(16 + max((text_width(bar.label) for bar in bars), default=0), WIDTH / 2)
    highest = max([bar.value if bar.high is None else bar.high for bar in bars], default=0.0)
    across = _Scale(0, highest or 1.0, left, WIDTH - 64, False)
    places = places_of([bar.value for bar in bars])
    begin = 60 if heading else 36
    bottom = begin + 2 + BAR_HEIGHT * len(bars)
    parts = [_text(0, 44, heading)] if heading else []
    for number, bar in enumerate(bars):
        parts += _bar(bar, across, top=begin + BAR_HEIGHT * number, places=places)
    parts.append(_text(left, bottom + 16, x_label))
    return _svg(WIDTH, bottom + 26, title, parts)


class Grid(NamedTuple):
    """Numbers from 0 on with a label for each row and column; `texts` stand in the cells where they are given."""

    values: Sequence[Sequence[float]]
    rows: Sequence[str]
    columns: Sequence[str]
    texts: Sequence[Sequence[str]] | None = None


def heat_map(grid: Grid, *, title: str, caption: str) -> str:
    """An SVG with a cell for each number, the darker the nearer to the highest of them; as wide as its cells need."""
    rows, columns = ([shortened_label(label, CELL_LABEL_CHARACTERS) for label in part] for part in (grid[1], grid[2]))
    slanted = max((text_width(label) for label in columns), default=0)
    left = 16 + max((text_width(label) for label in rows), default=0)
    top = 72 + slanted * math.sin(math.pi / 3)
    right, bottom = left + CELL * len(columns), top + CELL * len(rows)
    frame = f'x="{_number(left)}" y="{_number(top)}" width="{CELL * len(columns)}" height="{CELL * len(rows)}"'
    parts = [_text(0, 40, caption), f'<rect class="frame grid" {frame}/>']
    for number, label in enumerate(rows):
        parts.append(_text(left - 8, top + CELL * (number + 0.5) + 4.5, label, anchor="end"))
    for number, label in enumerate(columns):
        parts.append(_text(left + CELL * (number + 0.5) + 3, top - 6, label, turn=-60))
    parts += _cells(grid, left, top)
    width = max(WIDTH, right + slanted / 2 + 8, text_width(title), text_width(caption))
    return _svg(width, bottom + 8, title, parts)


def _cells(grid: Grid, left: float, top: float) -> Iterator[str]:
    highest = max((value for row in grid.values for value in row), default=0.0) or 1.0
    for i, row in enumerate(grid.values):
        for j, value in enumerate(row):
            shade = value / highest
            x, y = left + CELL * j, top + CELL * i
            if shade >= 0.005:
                place = f'x="{_number(x)}" y="{_number(y)}" width="{CELL}" height="{CELL}"'
                yield f'<rect class="f0" {place} fill-opacity="{shade:.2f}"/>'
            if grid.texts is not None and grid.texts[i][j]:
                kind = "cell on" if shade > DARK_SHADE else "cell"
                yield _text(x + CELL / 2, y + CELL / 2 + 4, grid.texts[i][j], anchor="middle", kind=kind)


def linear_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that span low to high from the inside."""
    step = _round_step((high - low) / 5)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of two, spaced so that at most ten stand between low and high."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    return [2.0**exponent for exponent in range(first, last + 1, max(1, math.ceil((last - first) / 9)))]


def tick_text(value: float) -> str:
    """The number as short as it can be: 0.25, 12, 4096, 20k, 1.5M."""
    for bound, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= bound:
            scale = 1e3 if unit == "k" else bound
            return f"{value / scale:.6g}{unit}"
    return f"{round(value, 10):.6g}"


def places_of(values: Sequence[float]) -> int:
    """Decimal places to show numbers of one kind with: 1 where they go up to tens (34.1), else 3 (0.912)."""
    return 1 if max((abs(value) for value in values), default=0.0) >= 10 else 3


def text_width(text: str) -> float:
    """About how many pixels the text takes in a chart; Chinese and Japanese characters take two places."""
    return CHARACTER_WIDTH * sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def shortened_label(text: str, characters: int) -> str:
    """The text, its end replaced by an ellipsis where it is longer than so many characters."""
    return text if len(text) <= characters else text[: characters - 1] + "\N{HORIZONTAL ELLIPSIS}"


def visible(text: str) -> str:
    """The text with spaces as open boxes and all other characters that leave no mark as escapes."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char == " ":
        return "\N{OPEN BOX}"
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def _round_step(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return magnitude * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= step * 0.999)


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    size = _number(width), _number(height)
    box = f'viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" height="{size[1]}"'
    label = escape(_xml_text(title), quote=False).replace('"', "&quot;")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" {box} role="img" aria-label="{label}">'
    body = "\n".join(parts)
    return f"{head}\n<style>{STYLE}</style>\n{_text(0, 18, title, kind='title')}\n{body}\n</svg>\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "label", turn: int = 0) -> str:
    place = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
    turned = f' transform="rotate({turn} {_number(x)} {_number(y)})"' if turn else ""
    return f'<text class="{kind}" {place}{turned}>{escape(_xml_text(text), quote=False)}</text>'


def _xml_text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _across_line(y: float, across: _Scale, label: str) -> str:
    ends = f'x1="{_number(across.begin)}" x2="{_number(across.end)}" y1="{_number(y)}" y2="{_number(y)}"'
    return f'<line class="grid" {ends}/>' + _text(across.begin - 8, y + 4.5, label, anchor="end")


def _polyline(line: Line, across: _Scale, up: _Scale, number: int, *, markers: bool) -> str:
    places = [(_number(across.place(point.x)), _number(up.place(point.y))) for point in line.points]
    path = f'<polyline class="{_stroke(line, number)}" points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
    dots = (f'<circle class="f{number % COLORS}" cx="{x}" cy="{y}" r="3.4"/>' for x, y in places)
    return path + ("".join(dots) if markers and not line.is_reference else "")


def _stroke(line: Line, number: int) -> str:
    dashes = f" d{number // COLORS % 3}" if number >= COLORS else ""
    return "line reference" if line.is_reference else f"line s{number % COLORS}{dashes}"


def _legend(lines: Sequence[Line]) -> tuple[list[str], float]:
    """The names with their strokes, beside the label of the axis where they fit, else below; and the height added."""
    names = [shortened_label(line.name, LEGEND_CHARACTERS) for line in lines]
    if sum(text_width(name) + 40 for name in names) <= WIDTH / 2:
        x, parts = float(WIDTH - 16), []
        for number, name in reversed(list(enumerate(names))):
            x -= text_width(name)
            parts += _legend_entry(lines[number], number, name, x, 42)
            x -= 40
        return parts, 0.0
    columns = 2 if max(text_width(name) for name in names) + 40 <= WIDTH / 2 else 1
    parts = []
    for number, name in enumerate(names):
        x, y = 30 + WIDTH / columns * (number % columns), LINE_HEIGHT + 14 + LEGEND_ROW * (number // columns)
        parts += _legend_entry(lines[number], number, name, x, y)
    return parts, LEGEND_ROW * math.ceil(len(names) / columns) + 8.0


def _legend_entry(line: Line, number: int, name: str, x: float, y: float) -> list[str]:
    ends = f'x1="{_number(x - 24)}" x2="{_number(x - 6)}" y1="{_number(y - 4)}" y2="{_number(y - 4)}"'
    return [_text(x, y, name), f'<line class="{_stroke(line, number)}" {ends}/>']


def _bar(bar: Bar, across: _Scale, *, top: float, places: int) -> list[str]:
    middle = top + BAR_HEIGHT / 2 - 2
    end = across.place(bar.value)
    size = f'x="{_number(across.begin)}" y="{_number(top)}" width="{_number(end - across.begin)}"'
    parts = [
        _text(across.begin - 8, middle + 4.5, bar.label, anchor="end"),
        f'<rect class="{"f0" if bar.is_main else "other"}" {size} height="{BAR_HEIGHT - 8}" rx="2"/>',
    ]
    if bar.low is not None and bar.high is not None:
        low, end = across.place(bar.low), across.place(bar.high)
        parts.append(f'<path class="interval" d="{_whisker(low, end, middle)}"/>')
    parts.append(_text(end + 7, middle + 4.5, f"{bar.value:.{places}f}"))
    return parts


def _whisker(low: float, high: float, y: float) -> str:
    low_text, high_text, top, bottom = _number(low), _number(high), _number(y - 5), _number(y + 5)
    ends = f"M{low_text} {top}V{bottom}M{high_text} {top}V{bottom}"
    return f"M{low_text} {_number(y)}H{high_text}{ends}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
