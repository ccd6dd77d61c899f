"""What the tests of faults share: a project whose stages all ran undisturbed, and the record of what was injected.

    python -m pytest tests/faults -m "long or not long" --reliability reports/reliability.md

writes the record as a table, as `make faults` does.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.faulty import SCRATCH, Reference, undisturbed_project
from tests.faults.table import Injection, table_of
from tests.tracking.conftest import empty_database  # noqa: F401  a fixture
from tests.tracking.conftest import project as empty_project  # noqa: F401  a fixture

Record = Callable[[Injection], None]

INJECTED = "injected fault"
INJECTIONS = pytest.StashKey[list[Injection]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability", type=Path, default=None, metavar="PATH", help="write a table of the injected faults here"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[INJECTIONS] = []
    config.pluginmanager.register(_Recorder(config), "reliability")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # `-m "not slow"` takes the place of the `-m "not long"` of pyproject.toml.
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")


class _Recorder:
    """Gathers what passed tests injected, from other processes of pytest too, and writes the table at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown" and report.passed:
            found = [value for name, value in report.user_properties if name == INJECTED]
            self._config.stash[INJECTIONS] += [Injection(**value) for value in found]  # type: ignore[arg-type]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        path = self._config.getoption("--reliability", default=None)
        if path is not None and exitstatus == 0 and not hasattr(self._config, "workerinput"):
            path.write_text(table_of(self._config.stash[INJECTIONS]), encoding="utf-8")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Keep what was injected and how it ended; the table has it if no test failed."""

    def keep(injection: Injection) -> None:
        request.node.user_properties.append((INJECTED, injection._asdict()))

    return keep


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A project whose stages all ran undisturbed, untracked, with a checkpoint after every step."""
    return undisturbed_project(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session", autouse=True)
def _no_scratch_left() -> Iterator[None]:
    yield
    shutil.rmtree(SCRATCH, ignore_errors=True)
