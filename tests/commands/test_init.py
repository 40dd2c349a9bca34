"""A person's own images become the checkout's data set, or nothing at all happens."""

import io
import os
import re
import resource
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from archives import grain, photographs, picture
from called import edit, failure, said

from transferlab.data.archive.own import check_images
from transferlab.params.reading import parse
from transferlab.pipeline.places import from_home
from transferlab.settings import compose, dataset_file
from transferlab.settings.dataset_file import in_yaml, name_of, path_in, with_dataset

ODD = ["my birds", "birds (1)", "Vögel", "x=y", "a,b", "~", "~nobody", "Ann's", 'a "b"', "$HOME"]
ODD += [
    "${x}",
    "a\\${x}",
    "\\\\${oc.env:HOME}",
    "two\nlines",
    "-birds",
    "#1: [a]",
    "*",
    "鳥 🐦",
    "???",
]
"""Names that a shell, Hydra, OmegaConf or YAML reads as something else."""


def state(root: Path) -> dict[str, bytes]:
    """All files of a checkout but its caches."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if ".cache" not in path.parts
    }


def params(root: Path) -> dict:
    return yaml.safe_load((root / "params.yaml").read_text())


# What it does


def test_a_folder_becomes_the_checkouts_data_set(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(own)
    lines = said(capsys, "init", "my birds")
    after = state(own)
    assert {name for name in after if after[name] != before.get(name)} == {
        "conf/config.yaml",
        "conf/dataset/my_birds.yaml",
        "conf/defaults.yaml",
        "params.yaml",
    }
    config = before["conf/config.yaml"]
    assert after["conf/config.yaml"] == config.replace(
        b"dataset: hymenoptera", b"dataset: my_birds"
    )
    assert after["params.yaml"] == compose.compose(root=own).encode()
    recorded, options = after["conf/defaults.yaml"].decode().split(compose.OPTIONS_SAY)
    assert recorded == compose.DEFAULTS_SAY + after["params.yaml"].decode()
    assert before["conf/defaults.yaml"].decode().endswith(compose.OPTIONS_SAY + options)
    assert (params(own)["dataset"]["name"], params(own)["dataset"]["path"]) == (
        "my_birds",
        "../my birds",
    )
    assert lines[:6] == [
        "../my birds: a folder of 10 images in 2 classes, 0.0 MB",
        "30 % of every class are drawn as test images",
        "  robin: 5",
        "  wren: 5",
        "classes of fewer than 20 images, which show little: robin, wren",
        "the pipeline finds images that break off, and those that only look the same",
    ]
    assert lines[6] == f"preview: {own}/.cache/transferlab/preview/my_birds.png"
    assert Path(lines[6].removeprefix("preview: ")).read_bytes().startswith(b"\x89PNG")
    assert lines[7:9] == [
        "conf/dataset/my_birds.yaml: written, every key with its meaning",
        "conf/config.yaml: dataset: my_birds; params.yaml is composed",
    ]
    assert "2 strategies x 5 seeds of resnet18 on my_birds: about " in lines[9]
    assert "per 1000 images" not in lines[9]  # they have been counted
    assert lines[10:] == ["Run: dvc repro"]


def test_every_key_of_the_written_file_has_a_comment(quick: Path) -> None:
    from transferlab.commands import main

    main.main(["init", "my birds", "-S", "dataset.max_files=400"])
    lines = (quick / "conf/dataset/my_birds.yaml").read_text().splitlines()
    assert all(" # " in line for line in lines[1:])
    assert "classes: null # to use, in this order; null: all. Found 2: robin, wren" in lines
    assert lines[-1] == "max_files: 400 # as it was given"
    assert params(quick)["dataset"]["max_files"] == 400


@pytest.mark.slow
def test_odd_names_reach_params_as_they_are(own: Path, tmp_path: Path) -> None:
    """All at once: each name is a folder around the next."""
    folder = tmp_path.joinpath("odd", *ODD)
    photographs(folder)
    absolute = os.path.relpath(folder, tmp_path)
    from transferlab.commands import main

    main.main(["init", absolute, "--name", "odd"])
    assert params(own)["dataset"]["path"] == f"../{absolute}"
    assert path_in(own / "conf/dataset/odd.yaml") == f"../{absolute}"
    assert dataset_file.same_place(params(own)["dataset"]["path"], str(folder))


@pytest.mark.parametrize("name", ODD)
def test_omegaconf_reads_an_odd_name_as_it_is(name: str) -> None:
    from omegaconf import OmegaConf

    value = f"/data/{name}"
    read = OmegaConf.create(yaml.safe_load(f"path: {in_yaml(value)} # a comment\nrest: 1"))
    assert OmegaConf.to_container(read, resolve=True) == {"path": value, "rest": 1}


@pytest.mark.parametrize("name", ODD)
def test_what_stands_first_in_a_relative_path_is_a_name_too(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    stored = dataset_file.stored_path(name)
    assert stored in (name, str(tmp_path / name))
    assert from_home(stored) == tmp_path / name


def test_a_quoted_tilde_is_the_home_of_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my birds").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dataset_file.stored_path("~/my birds") == str(tmp_path / "my birds")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("my birds", "my_birds"),
        ("Vögel (1)", "vogel_1"),
        ("Straße.tar.gz", "strasse"),
        ("2024", "images_2024"),
        ("null", "images_null"),
        ("鳥", "images"),
        ("labels.CSV", "labels"),
        ("a" * 80, "a" * 60),
        ("/", "images"),
    ],
)
def test_a_name_is_told_by_the_folder(word: str, name: str) -> None:
    assert name_of(Path(word), None) == name


@pytest.mark.parametrize("kind", ["zip", "tar", "csv"])
def test_archives_and_tables_are_taken_too(
    quick: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = quick.parent / "my birds"
    path = quick.parent / f"photos.{kind}"
    images = sorted(folder.rglob("*.png"))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for image in images:
                archive.write(image, image.relative_to(folder))
    elif kind == "tar":
        with tarfile.open(path, "w") as tar:
            tar.add(folder, "all")
    else:
        rows = [f"{image.relative_to(quick.parent)},{image.parent.name}" for image in images]
        path.write_text("\n".join(["path,Species", *rows, ""]))
    lines = said(capsys, "init", str(path), "--name", "birds")
    found = {"csv": "table"}.get(kind, kind)
    assert lines[0].startswith(f"{path}: a {found} of 10 images in 2 classes, ")
    assert ("Species is the label" in lines) == (kind == "csv")
    assert any(line.startswith("preview: ") for line in lines) == (kind != "tar")
    text = (quick / "conf/dataset/birds.yaml").read_text()
    assert ("\ncolumns: " in text, "\nzip_encoding: " in text) == (kind == "csv", kind == "zip")
    assert params(quick)["dataset"]["path"] == str(path)


# Again, and beside others


def test_the_same_images_again_keep_what_a_person_edited(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "init", "my birds")
    file = quick / "conf/dataset/my_birds.yaml"
    edit(file, "test_fraction: 0.3", "test_fraction: 0.4")
    text = file.read_text()
    lines = said(capsys, "init", str(quick.parent / "my birds"))
    assert "conf/dataset/my_birds.yaml: as it was, every key with its meaning" in lines
    assert file.read_text() == text
    assert params(quick)["dataset"]["test_fraction"] == 0.4
    told = "conf/dataset/my_birds.yaml: is there. Edit it, or have it written anew"
    assert told in failure("init", "my birds", "-S", "dataset.test_fraction=0.2")


def test_the_name_of_other_images_is_taken_by_force_alone(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "init", "my birds")
    photographs(quick.parent / "others", count=6)
    before = state(quick)
    assert failure("init", "others", "--name", "my_birds") == (
        "error: conf/dataset/my_birds.yaml: expected a free name, got the settings of "
        "../my birds. Give another with --name, or replace them: --force."
    )
    assert state(quick) == before
    lines = said(capsys, "init", "others", "--name", "my_birds", "--force")
    assert "conf/dataset/my_birds.yaml: replaced, it was that of ../my birds" in lines
    assert params(quick)["dataset"]["path"] == "../others"


@pytest.mark.slow
def test_a_second_data_set_stands_beside_the_first_and_each_is_one_line_away(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/how-to/own-images.md says."""

    def name() -> str:
        return str(params(own)["dataset"]["name"])

    photographs(own.parent / "moths", count=6)
    said(capsys, "init", "my birds")
    edit(own / "conf/dataset/my_birds.yaml", "test_fraction: 0.3", "test_fraction: 0.4")
    said(capsys, "init", "moths")
    assert name() == "moths"
    said(capsys, "init", "my birds")
    assert (name(), params(own)["dataset"]["test_fraction"]) == ("my_birds", 0.4)
    assert yaml.safe_load(compose.compose(["dataset=moths"], own))["dataset"]["path"] == "../moths"
    edit(own / "conf/config.yaml", "dataset: my_birds", "dataset: hymenoptera")
    said(capsys, "compose")
    assert name() == "hymenoptera"


# Nothing is written


def _flat(folder: Path) -> None:
    for number in range(6):
        (folder / f"{'cat' if number % 2 else 'dog'}.{number}.png").write_bytes(grain(number))


def _empty(folder: Path) -> None:
    (folder / "robin").mkdir()


def _one_class(folder: Path) -> None:
    photographs(folder)
    (folder / "wren").rename(folder.parent / "elsewhere")


def _few(folder: Path) -> None:
    photographs(folder, count=3)


def _two_labels(folder: Path) -> None:
    photographs(folder)
    (folder / "wren/0.png").write_bytes((folder / "robin/0.png").read_bytes())


@pytest.mark.parametrize(
    ("fill", "told"),
    [
        (_flat, "add: -S dataset.labels=names. Settings go behind this command, too."),
        (_empty, "expected at least 2 classes, found 1 (robin). Add a folder per class."),
        (_one_class, "expected at least 2 classes, found 1 (robin). Add a folder per class."),
        (_few, "expected at least 3 training images of class 'robin', and one to test on, got 3."),
        (_two_labels, "got two of the same one:\n  robin/0.png = wren/0.png\n"),
    ],
)
def test_images_that_cannot_work_change_nothing(quick: Path, fill: object, told: str) -> None:
    folder = quick.parent / "wrong"
    folder.mkdir()
    fill(folder)  # type: ignore[operator]
    before = state(quick)
    text = failure("init", "wrong")
    assert text.startswith("error: ../wrong: ")
    assert told in text
    assert state(quick) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere: expected a folder, an archive or a table of images, found nothing"),
        (["\udcff"], "expected a name in UTF-8, got other bytes. Rename it."),
        (["broken.zip"], "broken.zip"),
        (["my birds", "--name", "Vögel"], "got 'Vögel'. Try: --name vogel"),
        (["my birds", "--name", "folder"], "conf/dataset/folder.yaml: is one of the project's own"),
        (["my birds", "--name", "textures", "--force"], "is one of the project's own"),
        (["my birds", "-S", "dataset.path=x"], "-S dataset.path=x: expected dataset.KEY=VALUE"),
        (["my birds", "-S", "dataset.label=names"], "dataset.label: unknown key. Did you mean"),
        (["table.csv"], "Name it, as in -S dataset.columns.path=picture; the first line has the"),
    ],
)
def test_wrong_words_change_nothing(quick: Path, arguments: list[str], told: str) -> None:
    (quick.parent / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (quick.parent / "table.csv").write_text("picture,species\na.png,robin\n")
    before = state(quick)
    text = failure("init", *arguments)
    assert text.startswith("error: ")
    assert told in text
    assert state(quick) == before


def test_a_full_disk_leaves_everything_as_it_was(quick: Path) -> None:
    """A limit that the first files fit under and params.yaml does not; a tar has no preview."""
    with tarfile.open(quick.parent / "full.tar", "w") as tar:
        tar.add(quick.parent / "my birds", "all")
    before = state(quick)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3500, hard))
    try:
        told = failure("init", "full.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "expected room for params.yaml" in told
    assert state(quick) == before


def test_a_damaged_zip_is_not_told_to_be_downloaded(quick: Path) -> None:
    path = quick.parent / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for image in sorted((quick.parent / "my birds").rglob("*.png")):
            archive.write(image, image.relative_to(quick.parent / "my birds"))
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    before = state(quick)
    assert re.fullmatch(
        r"error: \S+/damaged.zip: expected a .* zip, got Bad CRC.* Repair it, or pack it anew\.",
        failure("init", str(path)),
    )
    assert state(quick) == before


def test_a_preset_with_images_of_its_own_is_refused(own: Path) -> None:
    edit(own / "conf/config.yaml", "preset: default", "preset: demo")
    before = state(own)
    assert failure("init", "my birds").startswith(
        "error: conf/config.yaml: expected a preset without a data set of its own, got one with "
        "textures."
    )
    assert state(own) == before


def test_broken_images_are_named_beforehand(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (quick.parent / "my birds/wren/0.png").write_bytes(picture()[:20])
    told = failure("init", "my birds")
    assert "got some that cannot be used: 1\n  wren/0.png: does not decode (" in told
    assert "or leave them out: -S dataset.on_bad_image=skip" in told
    left = failure("init", "my birds", "-S", "dataset.on_bad_image=skip")
    assert "of class 'wren' to fit and 1 to validate on, got 1 and 1." in left
    (quick.parent / "my birds/wren/5.png").write_bytes(picture())
    lines = said(capsys, "init", "my birds", "-S", "dataset.on_bad_image=skip")
    assert "cannot be read, left out: wren/0.png" in lines


@pytest.mark.slow
def test_an_image_that_changed_is_taken_by_the_command_that_is_named(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "init", "my birds")
    check_images(parse(params(own)).dataset)
    (own.parent / "my birds/wren/9.png").write_bytes(grain(900))
    with pytest.raises(ValueError, match="same settings: transferlab compose && dvc repro"):
        check_images(parse(params(own)).dataset)
    said(capsys, "compose")
    check_images(parse(params(own)).dataset)


# The line of conf/config.yaml


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("defaults:\n  - dataset: old # mine\n", "defaults:\n  - dataset: birds # mine\n"),
        ("defaults:\r\n- dataset: old\r\nx: 1\r\n", "defaults:\r\n- dataset: birds\r\nx: 1\r\n"),
        (
            "# - dataset: no\ndefaults:\n  -  dataset : a",
            "# - dataset: no\ndefaults:\n  -  dataset : birds",
        ),
    ],
)
def test_only_the_name_in_its_line_changes(before: str, after: str) -> None:
    assert with_dataset(before, "birds") == after


@pytest.mark.parametrize(
    "text", ["x: 1\n", "defaults: [dataset: a]\n", "defaults: [x]\nlist:\n- dataset: a\n"]
)
def test_a_config_without_that_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one line `- dataset: NAME` in its defaults"):
        with_dataset(text, "birds")


def test_a_preview_shows_sixteen_bits() -> None:
    import numpy as np
    from PIL import Image

    from transferlab.settings.glance import _picture

    file = io.BytesIO()
    values = np.tile(np.arange(40, dtype=np.uint16) * 100, (40, 1))
    Image.fromarray(values).save(file, "PNG")
    assert _picture(file.getvalue(), 1).max() == 255
