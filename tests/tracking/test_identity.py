import subprocess
from pathlib import Path

import pytest
import yaml

from lmlab.text import digest_of
from lmlab.tracking import RunIdentity
from lmlab.tracking.identity import flat_params, git_tags, identity_tags, settings_yaml


def test_settings_become_dotted_keys_with_json_values() -> None:
    settings = {"seed": 1, "model": {"name": "lstm", "sizes": {"width": 8, "dropout": 1e-4}, "tied": True}, "x": None}
    assert flat_params(settings) == {
        "seed": "1",
        "model.name": "lstm",
        "model.sizes.width": "8",
        "model.sizes.dropout": "0.0001",
        "model.tied": "true",
        "x": "null",
    }


def test_lists_empty_sections_and_columns_with_odd_names_stay_whole() -> None:
    settings = {"rules": [{"name": "ftfy"}, "é"], "extra": {}, "columns": {"text": "My column", "a, b": "c"}}
    assert flat_params(settings) == {
        "rules": '[{"name": "ftfy"}, "é"]',
        "extra": "{}",
        "columns": '{"text": "My column", "a, b": "c"}',
    }


def test_a_value_at_mlflows_limit_stays_and_a_longer_one_is_named_by_its_digest() -> None:
    assert flat_params({"prompt": "x" * 6000}) == {"prompt": "x" * 6000}
    digest = digest_of("x" * 10_000)
    assert flat_params({"prompt": "x" * 10_000}) == {
        "prompt": f"sha256:{digest} (10000 characters, whole in the artifact settings.yaml)"
    }


def test_settings_yaml_gives_the_settings_back() -> None:
    settings = {"b": {"rate": 1e-4, "text": "${x", "é": "ü"}, "a": [1, None, True]}
    text = settings_yaml(settings)
    assert yaml.safe_load(text) == settings
    assert "é: ü" in text


def test_tags_say_what_the_run_is(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("lock", encoding="utf-8")
    settings = {"seed": 7, "source": {"name": "files"}, "model": {"name": "gru"}}
    tags = identity_tags(RunIdentity("f1", "gru seed=7", settings, "d1", "c1", "parent"), tmp_path)
    assert tags["lmlab.fingerprint"] == "f1"
    assert tags["lmlab.source_digest"] == "d1"
    assert tags["lmlab.seed"] == "7"
    assert tags["mlflow.parentRunId"] == "parent"
    # printf lock | sha256sum
    assert tags["lmlab.dvc_lock"] == "0c030586945fe504b604ecc2e875c38ede400cd5cd73da9730302162e6b02c6f"
    assert tags["mlflow.note.content"].startswith("**gru seed=7**: source files, model gru\n")


def test_git_tags_tell_the_commit_and_whether_tracked_files_differ(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    (tmp_path / "a.txt").write_text("1", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "a.txt"], ["commit", "-q", "-m", "first"]):
        _git(tmp_path, *arguments)
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_tags(tmp_path) == {"mlflow.source.git.commit": commit, "lmlab.git_dirty": "false"}
    (tmp_path / "untracked.txt").write_text("1", encoding="utf-8")
    assert git_tags(tmp_path)["lmlab.git_dirty"] == "false"
    (tmp_path / "a.txt").write_text("2", encoding="utf-8")
    assert git_tags(tmp_path)["lmlab.git_dirty"] == "true"


def _git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *person, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(autouse=True)
def _no_outer_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
