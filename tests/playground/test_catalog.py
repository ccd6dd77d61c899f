from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.playground.catalog import Choice, project_catalog


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_named_models_come_first_and_two_are_compared(tmp_path: Path) -> None:
    for folder in ("one", "two", "models/export"):
        (tmp_path / folder).mkdir(parents=True)
    catalog = project_catalog(tmp_path, ["one", "two"])
    assert [choice.address for choice in catalog.first] == ["one", "two", "models/export"]
    assert catalog.compared == "two"
    assert catalog.folder_of("one") == tmp_path / "one"
    assert project_catalog(tmp_path, ["one"]).compared is None
    assert project_catalog(tmp_path, []).first == [Choice("models/export", "models/export")]


def test_no_model_at_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model yet: train one with `make repro`"):
        project_catalog(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--model nowhere: there is no such folder"):
        project_catalog(tmp_path, ["nowhere"])


def test_a_project_without_a_store_has_no_registered_models(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert project_catalog(tmp_path, ["one"]).stored() == []
    assert not (tmp_path / "mlflow.db").exists()


def test_aliases_come_before_versions_and_new_versions_before_old_ones(tmp_path: Path) -> None:
    from lmlab.tracking.store import open_store

    client = open_store(tmp_path).client
    for name, versions in (("translation", 10), ("classification", 1)):
        client.create_registered_model(name)
        for number in range(versions):
            client.create_model_version(name, (tmp_path / str(number)).as_uri())
    client.set_registered_model_alias("translation", "champion", "2")
    found = project_catalog(tmp_path, []).stored()
    assert found[:4] == [
        Choice("classification version 1", "models:/classification/1"),
        Choice("translation@champion (version 2)", "models:/translation@champion"),
        Choice("translation version 10", "models:/translation/10"),
        Choice("translation version 9", "models:/translation/9"),
    ]
    assert len(found) == 12


def test_a_store_that_fails_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmlab.tracking import store

    address = "http://user:secret@host"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    # Its client is none at all: whatever is asked of it fails.
    monkeypatch.setattr(store, "open_store", lambda _: store.Store(None, "1", address, tmp_path))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the registered models of http://host cannot be read"):
        project_catalog(tmp_path, []).stored()
