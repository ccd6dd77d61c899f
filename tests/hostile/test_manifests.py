"""A manifest of a logged model is read as plain data: it leads to a bundle beside it, or nowhere."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given

from lmlab.tracking.model import LOADER
from lmlab.tracking.registry import MANIFEST, _bundle_path
from tests.hostile.inputs import mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt

WHOLE = {"flavors": {"python_function": {"loader_module": LOADER, "data": "data/bundle", "code": "code"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@fuzz(suite=60)
@given(
    content=mutated(yaml.safe_dump(WHOLE).encode())
    | reshaped(WHOLE).map(lambda changed: yaml.safe_dump(changed, allow_unicode=False).encode())
)
@example(content=b"flavors: " + b"[" * 100_000)
@example(content=yaml.safe_dump(WHOLE).replace("data/bundle", "../../elsewhere").encode())
@example(content=yaml.safe_dump(WHOLE).replace("data/bundle", "/etc").encode())
@example(content=b"flavors: !!python/object/apply:os.system ['true']")
@example(content=b"flavors: 2001-99-99")
def test_a_manifest_leads_to_a_folder_beside_it_or_nowhere(folder: Path, content: bytes) -> None:
    path = folder / MANIFEST
    path.write_bytes(content)
    found = attempt(lambda: _bundle_path(path, "models:/m/1"), folder)
    assert found is None or not (found.is_absolute() or ".." in found.parts)
