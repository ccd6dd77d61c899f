"""docs/troubleshooting.md quotes messages that exist."""

import re

from tests.laws.imports import PROJECT

PAGE = PROJECT / "docs" / "troubleshooting.md"


def _code() -> str:
    """All source, strings that go on in the next line joined."""
    files = [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "pipelines").glob("*.py"), PROJECT / "Makefile"]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in files))


def test_each_message_stands_in_the_code() -> None:
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    code = _code()
    assert len(quoted) > 20
    assert [message for message in quoted if message not in code] == []
