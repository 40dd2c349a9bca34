"""A disk without room is named, with what is free; no other error is called a full disk."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy

from transferlab.pipeline import disk, files

FREE = r"\d+(\.\d)? (GB|MB|kB|bytes)"
WRITE = "write_text(root / 'made/toy.csv', 'a' * 1_000_000)"
COPY = "import shutil; shutil.copyfile('data/raw/archive.zip', root / 'made/toy.csv')"
BARE = "file = open('made/toy.csv', 'wb', 0); [file.write(b'a' * 1_000_000) for _ in range(9)]"
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
WHO = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_named_with_its_folder_what_is_free_and_the_way_out(
    tmp_path: Path, number: int
) -> None:
    error = disk.named(OSError(number, os.strerror(number)), tmp_path / "not/yet/a.csv")
    got = "none" if number == errno.EFBIG else f"{disk.size(shutil.disk_usage(tmp_path).free)} free"
    assert str(error).startswith(f"{tmp_path}: expected room for a.csv, got ")
    assert str(error).endswith(f" ({os.strerror(number)}). {disk.ADVICE[number]}")
    assert (got in str(error)) or number != errno.EFBIG
    assert error.errno == number
    assert disk.named(error, Path("/elsewhere/b")) is error


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError(errno.EROFS, "Read-only file system"),
        OSError("with words alone"),
    ],
)
def test_another_error_keeps_its_own_cause(tmp_path: Path, error: OSError) -> None:
    assert disk.named(error, tmp_path / "a") is error
    assert disk.of_some_file(error, [tmp_path], "a") is error


def test_where_the_file_is_unknown_the_fullest_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    free = {"a": 3, "b": 1, "c": 2}
    monkeypatch.setattr(disk, "_free", lambda folder: free[folder.name])
    folders = [tmp_path / name for name in free]
    error = disk.of_some_file(OSError(errno.ENOSPC, "full"), folders, "what toy writes")
    assert str(error).startswith(f"{tmp_path}/b: expected room for what toy writes, got 1 bytes ")


def test_a_removed_folder_and_a_file_in_the_way_are_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        files.write_text(tmp_path / "file/a.csv", "")

    with pytest.raises(FileNotFoundError), files.atomic(tmp_path / "made/a.csv"):
        shutil.rmtree(tmp_path / "made")


def test_a_limit_on_the_size_of_files_is_one_line(root: Path) -> None:
    process = toy.start(root, WORK=LIMIT + WRITE)
    _, err = process.communicate(timeout=60)
    assert err == (
        f"error: {root}/made: expected room for toy.csv, got none (File too large). "
        f"{disk.ADVICE[errno.EFBIG]}\n"
    )
    assert os.listdir(root / "made") == []


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of 300 kB where the outputs go."""
    made = root / "made"
    made.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(made)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes more rights")
    yield made
    subprocess.run(["umount", "--lazy", str(made)], check=True)


@pytest.mark.drill
@pytest.mark.parametrize(
    ("work", "what"),
    [(WRITE, "toy.csv"), (COPY, "toy.csv"), (BARE, "what toy writes")],
    ids=["atomic", "copy", "bare"],
)
def test_a_full_disk_is_one_line_with_its_folder_however_a_stage_writes(
    root: Path, small_disk: Path, work: str, what: str
) -> None:
    (root / "data/raw/archive.zip").write_bytes(b"a" * 1_000_000)
    process = toy.start(root, WORK=work)
    _, err = process.communicate(timeout=60)
    assert err.startswith(f"error: {small_disk}: expected room for {what}, got ")
    assert err.endswith(" free (No space left on device). Free some space and run again.\n")
    assert process.returncode == 1


def test_the_system_s_error_is_found_behind_what_a_library_raised() -> None:
    torchs = RuntimeError("[enforce fail at inline_container.cc:672]")
    torchs.__context__ = OSError(errno.ENOSPC, "x")
    rusts = RuntimeError(f"I/O error: no room (os error {errno.ENOSPC})")
    for error in (OSError(errno.ENOSPC, "x"), torchs, rusts):
        assert disk.behind(error).errno == errno.ENOSPC
    assert str(disk.behind(RuntimeError("something else"))) == "something else"
