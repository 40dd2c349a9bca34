"""Places count from the right folder; a file is whole or not there."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

from transferlab.pipeline import files, places

# Places


def test_checkout_is_the_folder_that_holds_this_code() -> None:
    assert places.checkout() == ROOT


def test_home_is_the_repository_that_dvc_names(own_home: Path) -> None:
    assert places.home() == own_home


@pytest.mark.parametrize("value", [None, ""])
def test_home_is_the_checkout_without_dvc(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("DVC_ROOT") if value is None else monkeypatch.setenv("DVC_ROOT", value)
    assert places.home() == places.checkout()


def test_caches_lie_in_the_repository_and_are_created(own_home: Path) -> None:
    folder = places.cache_folder("downloads")
    assert folder == own_home / ".cache/transferlab/downloads"
    assert folder.is_dir()
    assert places.cache_folder("downloads") == folder


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("birds", "{home}/birds"),
        ("../birds", "{home}/../birds"),
        ("/data/birds", "/data/birds"),
        ("~/birds", "/me/birds"),
    ],
)
def test_a_path_of_a_person_counts_from_the_repository(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/me")
    assert places.from_home(path) == Path(expected.format(home=own_home))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("http://mirror/files/", "http://mirror/files"),
        ("https://mirror", "https://mirror"),
        ("/srv/mirror", "/srv/mirror"),
        ("mirror", "{home}/mirror"),
    ],
)
def test_the_mirror_is_an_address_an_absolute_folder_or_nothing(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str | None
) -> None:
    name = "TRANSFERLAB_MIRROR"
    monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert places.mirror() == (expected and expected.format(home=own_home))


def test_the_baseline_of_an_experiment_is_what_dvc_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "a" * 40)
    assert places.baseline() == "a" * 40


def test_the_baseline_without_dvc_is_the_commit_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    monkeypatch.setattr(places, "checkout", lambda: tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost"]
    subprocess.run([*git, "init", "--quiet"], cwd=tmp_path, check=True)
    assert places.baseline() is None
    subprocess.run(
        [*git, "commit", "--quiet", "--allow-empty", "-m", "first"], cwd=tmp_path, check=True
    )
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert places.baseline() == head.stdout.strip()


def test_there_is_no_baseline_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    monkeypatch.setenv("PATH", "")
    assert places.baseline() is None


# Hashes


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert (
        files.file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert files.file_hash(path, "sha1") == "a9993e364706816aba3e25717850c26c9cd0d89d"


def test_the_hash_of_a_value_does_not_depend_on_the_order_of_keys() -> None:
    assert files.content_hash({"a": 1, "b": [1, 2]}) == files.content_hash({"b": [1, 2], "a": 1})


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}, None])
def test_another_value_has_another_hash(other: object) -> None:
    assert files.content_hash({"a": 1}) != files.content_hash(other)


def test_nan_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.content_hash({"loss": float("nan")})


# Writing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(own_home: Path) -> None:
    path = own_home / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), files.atomic(path) as file:
        file.write("new")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert os.listdir(own_home) == ["a.txt"]


def test_an_interrupt_leaves_no_part_behind(own_home: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic(own_home / "a.txt"):
        raise KeyboardInterrupt
    assert list(own_home.iterdir()) == []


def test_a_file_appears_only_when_it_is_whole(own_home: Path) -> None:
    with files.atomic(own_home / "deep/er/a.bin", "wb") as file:
        file.write(b"\r\n\x00")
        assert not (own_home / "deep/er/a.bin").exists()
    assert (own_home / "deep/er/a.bin").read_bytes() == b"\r\n\x00"


def test_a_written_file_can_be_read_by_others(own_home: Path) -> None:
    files.write_text(own_home / "a.txt", "ä\r\n")
    assert (own_home / "a.txt").read_bytes() == "ä\r\n".encode()
    assert stat.S_IMODE((own_home / "a.txt").stat().st_mode) == 0o644


def test_two_writers_do_not_share_a_part(own_home: Path) -> None:
    path = own_home / "a.txt"
    with files.atomic(path) as first, files.atomic(path) as second:
        first.write("first")
        second.write("second")
    assert path.read_text() == "first"
    assert os.listdir(own_home) == ["a.txt"]


def test_json_comes_back_and_is_written_the_same_every_time(own_home: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"ä": "é"}}
    files.write_json(own_home / "a.json", value)
    first = (own_home / "a.json").read_bytes()
    assert files.read_json(own_home / "a.json") == value
    assert list(files.read_json(own_home / "a.json")) == ["b", "a"]
    assert "ä".encode() in first
    assert first.endswith(b"}\n")
    files.write_json(own_home / "a.json", files.read_json(own_home / "a.json"))
    assert (own_home / "a.json").read_bytes() == first


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_say_is_refused_and_the_old_file_stays(
    own_home: Path, value: object
) -> None:
    files.write_json(own_home / "a.json", {"loss": 1})
    with pytest.raises((ValueError, TypeError), match="JSON"):
        files.write_json(own_home / "a.json", {"loss": value})
    assert files.read_json(own_home / "a.json") == {"loss": 1}


def test_csv_comes_back_as_text_with_none_as_an_empty_cell(own_home: Path) -> None:
    path = own_home / "a.csv"
    rows: list[dict[str, Any]] = [{"id": "a,b", "loss": 0.5}, {"id": 'say "x"\nthen', "loss": None}]
    files.write_csv(path, ["id", "loss"], rows)
    assert path.read_bytes().startswith(b"id,loss\n")
    assert files.read_csv(path) == [
        {"id": "a,b", "loss": "0.5"},
        {"id": 'say "x"\nthen', "loss": ""},
    ]


def test_a_csv_without_rows_has_its_columns(own_home: Path) -> None:
    files.write_csv(own_home / "a.csv", ["id", "reason"], [])
    assert (own_home / "a.csv").read_text() == "id,reason\n"
    assert files.read_csv(own_home / "a.csv") == []


def test_an_unknown_column_is_refused_and_the_old_file_stays(own_home: Path) -> None:
    files.write_csv(own_home / "a.csv", ["id"], [{"id": 1}])
    with pytest.raises(ValueError, match="extra"):
        files.write_csv(own_home / "a.csv", ["id"], [{"id": 2, "extra": 3}])
    assert files.read_csv(own_home / "a.csv") == [{"id": "1"}]
