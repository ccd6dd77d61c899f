import logging
from collections.abc import Sequence

import pytest

from lmlab.tracking import curves
from lmlab.tracking.curves import CurveWriter, Point, points_of


class Store:
    """Takes points, or refuses them while `down`."""

    def __init__(self) -> None:
        self.calls: list[list[Point]] = []
        self.down = False

    def __call__(self, points: Sequence[Point]) -> None:
        if self.down:
            raise OSError("no store\nand a second line")
        self.calls.append(list(points))

    def told(self) -> list[tuple[str, float, int]]:
        return [point[:3] for call in self.calls for point in call]


def test_points_arrive_once_and_in_order() -> None:
    store = Store()
    writer = CurveWriter(store, last_steps={})
    writer.add(points_of({"a": 1, "b": 2.5}, step=1))
    writer.flush()
    writer.add(points_of({"a": 3}, step=2))
    assert writer.close()
    assert store.told() == [("a", 1.0, 1), ("b", 2.5, 1), ("a", 3.0, 2)]


def test_a_call_holds_at_most_a_thousand_points() -> None:
    store = Store()
    writer = CurveWriter(store, last_steps={})
    for step in range(2500):
        writer.add(points_of({"a": 0.0}, step=step))
    writer.close()
    assert [len(call) for call in store.calls] == [1000, 1000, 500]
    assert [step for _, _, step in store.told()] == list(range(2500))


def test_points_are_sent_while_the_training_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(curves, "SEND_EVERY_SECONDS", 0.01)
    store = Store()
    writer = CurveWriter(store, last_steps={})
    writer.add(points_of({"a": 0.0}, step=1))
    deadline = time.monotonic() + 10
    while not store.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    assert store.told() == [("a", 0.0, 1)]
    writer.close()


def test_steps_that_the_store_has_are_dropped_for_each_curve() -> None:
    store = Store()
    writer = CurveWriter(store, last_steps={"a": 20})
    for step in (10, 20, 30):
        writer.add(points_of({"a": 0.0, "b": 0.0}, step=step))
    writer.close()
    assert store.told() == [("b", 0.0, 10), ("b", 0.0, 20), ("a", 0.0, 30), ("b", 0.0, 30)]


def test_a_store_that_fails_is_told_once_and_gets_every_point_later(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    writer = CurveWriter(store, last_steps={})
    store.down = True
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            writer.add(points_of({"a": 0.0}, step=step))
            assert not writer.flush()
    [warning] = caplog.records
    assert "took no points (OSError: no store)" in warning.getMessage()
    store.down = False
    assert writer.close()
    assert store.told() == [("a", 0.0, 0), ("a", 0.0, 1), ("a", 0.0, 2)]


def test_closing_says_when_points_are_left(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.down = True
    writer = CurveWriter(store, last_steps={})
    writer.add(points_of({"a": 0.0}, step=1))
    assert not writer.close()
    assert len(caplog.records) == 1
