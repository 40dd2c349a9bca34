"""A stage compares its inputs with what DVC recorded; DVC itself trusts the modes of its cache."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.pipeline import recorded, stage

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FOLDERS = {
    "data/processed/train": ("manifest.csv", "images.bin"),
    "data/processed/test": ("manifest.csv", "images.bin"),
    "models/frozen": ("seed-0.safetensors",),
    "predictions/controls": ("majority.csv",),
    "champion": ("model.safetensors", "facts.json"),
    "reports/figures": ("accuracy.png",),
}


def made(name: str) -> dict[str, tuple[str, ...]]:
    """The outputs of a stage, and the files in those that are folders."""
    entry = STAGES[name].get("do", STAGES[name])
    paths = [path.replace("${key}", "frozen") for path in stage.written(entry, "${key}")]
    return {path: FOLDERS.get(path, ()) for path in paths}


def used(name: str) -> list[str]:
    entry = STAGES[name].get("do", STAGES[name])
    return [item.replace("${key}", "frozen") for item in entry["deps"]]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def record(root: Path, outputs: dict[str, dict[str, tuple[str, ...]]]) -> None:
    """Write the outputs of stages, the `dvc.lock` that names them, and the listings of folders."""
    stages: dict[str, Any] = {}
    for name, made in outputs.items():
        outs = []
        for path, files in made.items():
            held = []
            for file in files or ("",):
                place = root / path / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(f"content of {path} {file}")
                held.append({"md5": md5(place.read_bytes()), "relpath": file})
            digest = held[0]["md5"]
            if files:
                listing = json.dumps(held).encode()
                digest = f"{md5(listing)}.dir"
                kept = recorded.kept_as(digest, root / ".dvc/cache/files/md5")
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(listing)
            outs.append({"path": path, "hash": "md5", "md5": digest})
        stages[name] = {"cmd": "", "outs": outs}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def flip(path: Path) -> str:
    """Damage one byte; gives what the file held."""
    data = bytearray(path.read_bytes())
    whole = md5(data)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return whole


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\nno_scm = true\n")
    foreach = {name for name, entry in STAGES.items() if "foreach" in entry}
    record(root, {f"{n}@frozen" if n in foreach else n: made(n) for n in STAGES})
    return root


READ = [
    (name, f"{path}/{file}".removesuffix("/"))
    for name in STAGES
    for maker in STAGES
    for path, files in made(maker).items()
    for file in files or ("",)
    if any(f"{path}/".startswith(f"{dep}/") for dep in used(name))
]
COMPARED = [(name, file) for name, file in READ if Path(file).suffix not in recorded.OWN_DIGEST]


def test_all_that_a_stage_reads_is_compared_but_what_has_digests_of_its_own() -> None:
    files = {file for _, file in COMPARED}
    assert {file for _, file in READ} - files == {
        "data/raw/archive.zip",
        "data/weights/start.safetensors",
        "data/processed/train/images.bin",
        "data/processed/test/images.bin",
        "models/frozen/seed-0.safetensors",
        "champion/model.safetensors",
    }
    assert {"data/processed/classes.json", "data/processed/train/manifest.csv"} <= files
    assert {"data/splits/validation.csv", "predictions/pictures/frozen.npz"} <= files


@pytest.mark.parametrize(("name", "file"), COMPARED)
def test_one_damaged_byte_is_one_line_with_the_file_and_what_mends_it(
    recording: Path, name: str, file: str
) -> None:
    path = recording / file
    before = path.read_bytes()
    whole = flip(path)
    (line,) = recorded.damage(recording, used(name), ["frozen"])
    path.write_bytes(before)
    kept = f".dvc/cache/files/md5/{whole[:2]}/{whole[2:]}"
    begin = f"{file}: expected the bytes that dvc.lock records, got others. Run: rm -f {kept}; dvc "
    assert line.startswith(f"{begin}repro -f -s ")
    assert line.rpartition(" ")[2].partition("@")[0] in STAGES
    assert not list(recorded.damage(recording, used(name), ["frozen"]))


def test_what_a_strategy_left_that_is_no_longer_there_is_nobody_s_input(recording: Path) -> None:
    path = recording / "predictions/frozen.csv"
    before = path.read_bytes()
    flip(path)
    assert not list(recorded.damage(recording, used("compare"), ["probe"]))
    path.write_bytes(before)


def test_a_damaged_listing_says_nothing_of_its_folder(tmp_path: Path) -> None:
    record(tmp_path, {"controls": {"predictions/controls": ("majority.csv",)}})
    (output,) = recorded.outputs(tmp_path)
    cache = tmp_path / ".dvc/cache/files/md5"
    assert recorded.held(output, cache) is not None
    flip(recorded.kept_as(output.md5, cache))
    assert recorded.held(output, cache) is None


def test_a_cache_elsewhere_is_the_one_that_is_read(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    config = f"[core]\nno_scm = true\n[cache]\ndir = {tmp_path}/shared\n"
    (tmp_path / ".dvc/config").write_text(config)
    assert recorded.cache_of(tmp_path) == tmp_path / "shared/files/md5"


@pytest.mark.parametrize("text", ["stages: {", "- 1", "stages: {a: {outs: [3]}}", "{}"])
def test_a_damaged_lock_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(ValueError, match=r"dvc\.lock: expected .* Run: git checkout dvc\.lock$"):
        recorded.outputs(tmp_path)


def test_a_stage_that_dvc_runs_refuses_a_damaged_input_and_one_by_hand_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record(root, {"bring": {"data/raw/table.csv": ()}})
    (root / ".dvc").mkdir()
    monkeypatch.setattr(sys, "argv", ["stage"])
    worked: list[Any] = []
    stage.main("toy", lambda *given: worked.append(given))
    assert (len(worked), caplog.messages) == (1, [])
    flip(root / "data/raw/table.csv")
    stage.main("toy", lambda *given: worked.append(given))
    (said,) = caplog.messages
    assert len(worked) == 2
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:toy")
    with pytest.raises(SystemExit) as caught:
        stage.main("toy", lambda *given: worked.append(given))
    assert caught.value.code == f"error: {said}"
    assert said.startswith("data/raw/table.csv: expected the bytes that dvc.lock records")
    assert len(worked) == 2
