"""Kinds of phrases that Babel formats from Unicode's CLDR in two locales.

Each kind is an endless iterator of phrases, empty where one of the locales lacks what it needs. All values are
drawn such that the source phrase shows all that the target needs: years from one century, since a short date has two
digits of it; compact numbers of two digits, since a locale may write 12,000 in full. Where two forms of one value
look alike in the source (May 1 with the month in full and abbreviated), the first form is the meaning.
"""

import datetime as dt
import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from babel import Locale, dates, lists, numbers, units

from lmlab.data.phrases import Deck, Phrase

ValueT = TypeVar("ValueT")
FormT = TypeVar("FormT")
Format = Callable[[ValueT, Locale], str]
DateFormat = Literal["full", "long", "medium", "short"]
Length = Literal["long", "short"]

FIRST_DAY, LAST_DAY = dt.date(1970, 1, 1), dt.date(2069, 12, 31)
# Money that was legal tender on this day.
CURRENCIES_OF = dt.date(2025, 1, 1)
# Codes of CLDR that stand for no place: unknown, and two for tests of programs.
NO_PLACES = ("ZZ", "XA", "XB")
DATE_FORMATS: tuple[DateFormat, ...] = ("full", "long", "medium", "short")
TIME_FORMATS: tuple[DateFormat, ...] = ("medium", "short")
# Weeks are left out: which one a day is in differs from place to place.
SKELETONS = (
    *("yMMMEd", "yMMMd", "yMMMM", "yMMM", "yMEd", "yMd", "yM", "yQQQQ", "yQQQ"),
    *("GyMMMEd", "GyMMMd", "GyMMM", "MMMEd", "MMMMd", "MMMd", "MEd", "Md"),
)
LIST_STYLES = ("standard", "or")
LIST_PATTERNS = ("2", "start", "middle", "end")
LONGEST_LIST = 3
DURATIONS = ("year", "month", "week", "day", "hour", "minute", "second")
LENGTHS: tuple[Length, ...] = ("long", "short")
# Numbers for which locales may choose another form of a unit's or currency's name.
COUNTS = tuple(Decimal(number) for number in ("1", "1.5", "2", "5", "11", "21", "1000"))
# Singular forms would hardly be seen if all numbers were alike.
SHARE_OF_ONES = 0.25


class Locales(NamedTuple):
    """The locale of the source phrases and that of their targets."""

    source: Locale
    target: Locale


Kind = Callable[[Locales, random.Random], Iterator[Phrase]]


def names(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Each name alone, once: territories, languages, months, weekdays."""
    found = [(part, pair) for group in _names(locales).values() for part, pair in group.items()]
    draw.shuffle(found)
    for part, pair in found:
        yield Phrase(*pair, (part,))


def name_lists(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Two or three names of one group: France, Italy, and Spain."""
    groups = _names(locales)
    decks = [Deck(list(group), draw) for group in groups.values()]
    sizes = [len(group) for group in groups.values()]
    found = {part: pair for group in groups.values() for part, pair in group.items()}
    while styles := _list_styles(locales):
        # Groups by size, so that each name is about as frequent as any other.
        parts = draw.choices(decks, sizes)[0].hand(2 + _below(draw, LONGEST_LIST - 1))
        yield _listed(locales, draw.choice(styles), [Phrase(*found[part], (part,)) for part in parts])


def dates_alone(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Days in all formats, and parts of dates as CLDR's skeletons show them."""
    forms: dict[str, Format[dt.datetime]] = {name: partial(_date, name) for name in DATE_FORMATS}
    in_both = set(locales.source.datetime_skeletons) & set(locales.target.datetime_skeletons)
    forms |= {name: partial(_skeleton, name) for name in SKELETONS if name in in_both}
    return _moments(locales, forms, draw)


def datetimes(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Days with a time, in all formats that need no time zone."""
    forms = {f"{day} {time}": partial(_datetime, day, time) for day in DATE_FORMATS for time in TIME_FORMATS}
    return _moments(locales, forms, draw)


def times(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Times of a day."""
    while True:
        form = draw.choice(TIME_FORMATS)
        moment = _moment(draw)
        yield Phrase(*_pair(locales, partial(_time, form), moment), (f"time:{form}:{moment.hour}",))


def relative_times(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """How long ago or from now: in 3 weeks."""
    seconds_of_units = Deck([seconds for _, seconds in dates.TIMEDELTA_UNITS], draw)
    while True:
        seconds = seconds_of_units.deal() * (1 + _below(draw, 99))
        delta = dt.timedelta(seconds=seconds if draw.random() < 0.5 else -seconds)
        source, target = _pair(locales, _delta, delta)
        yield Phrase(source, target, (f"relative:{_without_digits(source)}:{_without_digits(target)}",))


def durations(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Two or three amounts of time, the longest first: 3 hours, 1 minute, and 20 seconds."""
    units_of_time = {unit.removeprefix("duration-"): (unit, length) for unit, length in _unit_forms(locales)}
    forms = [units_of_time[name] for name in DURATIONS if name in units_of_time]
    while len(forms) > 1 and (styles := _list_styles(locales)):
        first = _below(draw, len(forms) - 1)
        chosen = forms[first : first + 2 + _below(draw, LONGEST_LIST - 1)]
        yield _listed(locales, styles[0], [_measure(locales, unit, "long", _count(draw)) for unit, _ in chosen])


def measures(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """A number of a unit: 2.5 kilometers."""
    deck = Deck(_unit_forms(locales), draw)
    while True:
        unit, length = deck.deal()
        value = _count(draw) if draw.random() < 0.5 else _number(draw, digits=4, decimals=2)
        yield _measure(locales, unit, length, value)


def measure_lists(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Two or three measures; here each unit is also seen in the singular."""
    deck = Deck(_unit_forms(locales), draw)
    while styles := _list_styles(locales):
        hand = deck.hand(2 + _below(draw, LONGEST_LIST - 1))
        measured = [_measure(locales, unit, length, _count(draw)) for unit, length in hand]
        yield _listed(locales, draw.choice(styles), measured)


def decimals(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Numbers with up to six digits before the point and three behind it."""
    while True:
        value = _number(draw, digits=6, decimals=3)
        yield Phrase(*_pair(locales, lambda value, locale: numbers.format_decimal(value, locale=locale), value), ())


def percentages(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Percentages with up to two decimals."""
    while True:
        yield Phrase(*_pair(locales, _percentage, _number(draw, digits=3, decimals=2)), ())


def scientific(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Numbers in scientific notation."""

    def form(value: Decimal, locale: Locale) -> str:
        return numbers.format_scientific(value, locale=locale, decimal_quantization=False)

    while True:
        value = Decimal(10 + _below(draw, 9990)).scaleb(_below(draw, 20) - 10)
        yield Phrase(*_pair(locales, form, value), ())


def compact(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Rounded numbers: 1.2 million."""

    def form(length: Length, value: Decimal, locale: Locale) -> str:
        return numbers.format_compact_decimal(value, format_type=length, locale=locale, fraction_digits=1)

    in_both: list[Length] = [
        length for length in LENGTHS if all(length in locale.compact_decimal_formats for locale in locales)
    ]
    while in_both:
        length = draw.choice(in_both)
        exponent = 2 + _below(draw, 10)
        value = Decimal(10 + _below(draw, 90)).scaleb(exponent)
        source, target = _pair(locales, partial(form, length), value)
        yield Phrase(source, target, (f"compact:{_without_digits(source)}:{_without_digits(target)}",))


def currencies(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Amounts of money with the currency's sign: $1,234.50."""
    yield from _money(locales, draw, "standard")


def named_currencies(locales: Locales, draw: random.Random) -> Iterator[Phrase]:
    """Amounts of money with the currency's name: 12.00 Swiss francs."""
    yield from _money(locales, draw, "name")


KINDS: dict[str, Kind] = {
    "names": names,
    "name_lists": name_lists,
    "dates": dates_alone,
    "datetimes": datetimes,
    "times": times,
    "relative_times": relative_times,
    "durations": durations,
    "measures": measures,
    "measure_lists": measure_lists,
    "decimals": decimals,
    "percentages": percentages,
    "scientific": scientific,
    "compact": compact,
    "currencies": currencies,
    "named_currencies": named_currencies,
}


def _pair(locales: Locales, form: Format[ValueT], value: ValueT) -> tuple[str, str]:
    return form(value, locales.source), form(value, locales.target)


def _plurals(locales: Locales, value: Decimal) -> str:
    return ":".join(locale.plural_form(value) for locale in locales)


def _below(draw: random.Random, bound: int) -> int:
    return int(draw.random() * bound)


def _number(draw: random.Random, *, digits: int, decimals: int) -> Decimal:
    """A number from 2 on with up to so many digits before and behind the point; short ones are as frequent as long."""
    size = 10 ** (1 + _below(draw, digits))
    places = _below(draw, decimals + 1)
    number = 2 + Decimal(_below(draw, (size - 2) * 10**places)).scaleb(-places)
    # A locale may take 5.0 for another plural than 5, and both are written 5.
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number.normalize()


def _count(draw: random.Random) -> Decimal:
    return Decimal(1) if draw.random() < SHARE_OF_ONES else Decimal(2 + _below(draw, 98))


def _without_digits(text: str) -> str:
    return "".join("#" if character.isdecimal() else character for character in text)


def _distinct(
    locales: Locales, forms: Mapping[FormT, Format[ValueT]], probes: Sequence[ValueT]
) -> dict[FormT, Format[ValueT]]:
    """The forms that for every probe look in the source like no earlier form."""
    taken: list[set[str]] = [set() for _ in probes]
    found = {}
    for name, form in forms.items():
        sources = [form(probe, locales.source) for probe in probes]
        if all(source not in earlier for source, earlier in zip(sources, taken, strict=True)):
            found[name] = form
        for source, earlier in zip(sources, taken, strict=True):
            earlier.add(source)
    return found


def _listed(locales: Locales, style: str, phrases: Sequence[Phrase]) -> Phrase:
    def form(side: str, locale: Locale) -> str:
        return lists.format_list([getattr(phrase, side) for phrase in phrases], style=style, locale=locale)  # type: ignore[arg-type]

    parts = [part for phrase in phrases for part in phrase.parts]
    return Phrase(form("source", locales.source), form("target", locales.target), (*parts, f"list:{style}"))


def _list_styles(locales: Locales) -> list[str]:
    # Babel's data of some locales has styles without all of their patterns.
    return [
        style
        for style in LIST_STYLES
        if all(set(LIST_PATTERNS) <= set(locale.list_patterns.get(style, ())) for locale in locales)
    ]


def _names(locales: Locales) -> dict[str, dict[str, tuple[str, str]]]:
    """Of each group the pair of names of each member, in the order of their codes."""
    territories = _in_both("territory", locales, lambda locale: locale.territories)
    languages = _in_both("language", locales, lambda locale: locale.languages)
    months = _in_both("month", locales, lambda locale: dates.get_month_names("wide", "stand-alone", locale))
    weekdays = _in_both("weekday", locales, lambda locale: dates.get_day_names("wide", "stand-alone", locale))
    # Codes of two letters are the countries and the languages that most people have heard of.
    groups = (
        {code: pair for code, pair in territories.items() if _is_short(code) and code[-2:] not in NO_PLACES},
        {code: pair for code, pair in languages.items() if _is_short(code)},
        months | weekdays,
    )
    return {
        group: members
        for group, members in zip(("territories", "languages", "calendar"), groups, strict=True)
        if members
    }


def _in_both(
    group: str, locales: Locales, names_in: Callable[[Locale], Mapping[Hashable, str]]
) -> dict[str, tuple[str, str]]:
    source, target = names_in(locales.source), names_in(locales.target)
    codes = sorted({code for code in source if code in target}, key=str)
    return {f"{group}:{code}": (source[code], target[code]) for code in codes}


def _is_short(part: str) -> bool:
    return len(part.partition(":")[2]) == 2


def _moment(draw: random.Random) -> dt.datetime:
    day = FIRST_DAY + dt.timedelta(days=_below(draw, (LAST_DAY - FIRST_DAY).days + 1))
    return dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=_below(draw, 24 * 60 * 60))


def _moments(locales: Locales, forms: Mapping[str, Format[dt.datetime]], draw: random.Random) -> Iterator[Phrase]:
    # Names of months may be as long in full as abbreviated: May. The days are a week, not to be taken for a month.
    distinct = {
        month: list(_distinct(locales, forms, [dt.datetime(2024, month, day, 15, 4, 5) for day in range(13, 20)]))
        for month in range(1, 13)
    }
    while True:
        moment = _moment(draw)
        form = draw.choice(distinct[moment.month])
        parts = (f"{form}:month:{moment.month}", f"{form}:weekday:{moment.weekday()}")
        yield Phrase(*_pair(locales, forms[form], moment), parts)


def _date(form: DateFormat, moment: dt.datetime, locale: Locale) -> str:
    return dates.format_date(moment, form, locale)


def _skeleton(skeleton: str, moment: dt.datetime, locale: Locale) -> str:
    return dates.format_skeleton(skeleton, moment, fuzzy=False, locale=locale)


def _time(form: DateFormat, moment: dt.datetime, locale: Locale) -> str:
    return dates.format_time(moment.time(), form, locale=locale)


def _datetime(day: DateFormat, time: DateFormat, moment: dt.datetime, locale: Locale) -> str:
    # As babel.dates.format_datetime puts them together, which cannot mix a long date with a short time.
    pattern = str(dates.get_datetime_format(day, locale=locale)).replace("'", "")
    return pattern.replace("{0}", _time(time, moment, locale)).replace("{1}", _date(day, moment, locale))


def _delta(delta: dt.timedelta, locale: Locale) -> str:
    return dates.format_timedelta(delta, add_direction=True, format="long", locale=locale)


def _percentage(value: Decimal, locale: Locale) -> str:
    return numbers.format_percent(value.scaleb(-2), locale=locale, decimal_quantization=False)


def _unit_forms(locales: Locales) -> list[tuple[str, Length]]:
    """Units and lengths that tell them apart in the source, also from percentages."""
    in_both = sorted(set(locales.source.unit_display_names) & set(locales.target.unit_display_names))
    forms: dict[tuple[str, Length] | None, Format[Decimal]] = {None: _percentage}
    for length in LENGTHS:
        known = [unit for unit in in_both if all(_is_known(unit, length, locale) for locale in locales)]
        forms |= {(unit, length): partial(_unit, unit, length) for unit in known}
    return [form for form in _distinct(locales, forms, COUNTS) if form is not None]


def _is_known(unit: str, length: Length, locale: Locale) -> bool:
    """Whether Babel has that form; else it writes the unit's code, or short forms of the plural only, the long ones."""
    texts = [_unit(unit, length, count, locale) for count in COUNTS]
    is_named = not any(unit in text for text in texts)
    is_long_again = any(text == _unit(unit, "long", count, locale) for text, count in zip(texts, COUNTS, strict=True))
    return is_named and (length == "long" or not is_long_again)


def _unit(unit: str, length: Length, value: Decimal, locale: Locale) -> str:
    return units.format_unit(value, unit, length, locale=locale)


def _measure(locales: Locales, unit: str, length: Length, value: Decimal) -> Phrase:
    return Phrase(
        *_pair(locales, partial(_unit, unit, length), value), (f"{unit}:{length}:{_plurals(locales, value)}",)
    )


def _money(locales: Locales, draw: random.Random, style: Literal["name", "standard"]) -> Iterator[Phrase]:
    def form(code: str, value: Decimal, locale: Locale) -> str:
        return numbers.format_currency(value, code, locale=locale, format_type=style)

    codes = sorted({code for territory in locales.source.territories for code in _currencies_of(str(territory))})
    in_both = [code for code in codes if all(code in locale.currencies for locale in locales)]
    forms = {code: partial(form, code) for code in in_both}
    deck = Deck(list(_distinct(locales, forms, COUNTS)), draw)
    while True:
        code = deck.deal()
        value = _number(draw, digits=5, decimals=min(2, numbers.get_currency_precision(code)))
        yield Phrase(*_pair(locales, forms[code], value), (f"{style}:{code}:{_plurals(locales, value)}",))


def _currencies_of(territory: str) -> list[str]:
    found = numbers.get_territory_currencies(territory, CURRENCIES_OF, tender=True)
    return [str(code) for code in found]
