"""What cannot work is refused at the first look, with what to type instead; and that works."""

import hashlib
import http.server
import io
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import yaml
from archives import grain, photographs
from called import edit, failure, said

from transferlab.data.archive.bring import bring
from transferlab.params.reading import parse

pytestmark = pytest.mark.slow

Fill = Callable[[Path], object]


def images(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(grain(first + number))


def text_beside(folder: Path) -> None:
    """Images in one folder, and another with text alone."""
    images(folder / "images", 6)
    (folder / "labels").mkdir()
    for number in range(6):
        (folder / f"labels/{number}.txt").write_text("0 0.5 0.5 1 1\n")


def animations(folder: Path) -> None:
    images(folder / "robin", 5)
    (folder / "wren").mkdir()
    for number in range(5):
        (folder / f"wren/{number}.gif").write_bytes(b"GIF89a" + bytes([number]))


def one_small(folder: Path) -> None:
    photographs(folder)
    images(folder / "two words", 5, 300)
    images(folder / "jay", 3, 400)


def unlike_parts(folder: Path) -> None:
    for part, names in (("train", "abc"), ("val", "ab")):
        for name in names:
            images(folder / part / name, 4, 100 * ord(name) + 10 * len(part))


def line_end(folder: Path) -> None:
    photographs(folder)
    (folder / "wren/0.png").rename(folder / "wren/0\n1.png")


def case_alone(folder: Path) -> None:
    photographs(folder)
    (folder / "wren/A.png").write_bytes(grain(500))
    (folder / "wren/a.png").write_bytes(grain(501))


def links_in_a_tar(folder: Path) -> None:
    photographs(folder)
    with tarfile.open(folder.with_suffix(".tar"), "w") as tar:
        tar.add(folder, "birds")
        link = tarfile.TarInfo("birds/wren/again.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0.png"
        tar.addfile(link)


def named(ending: str, start: bytes) -> Fill:
    return lambda folder: folder.with_suffix(ending).write_bytes(start + bytes(60))


def table(text: str) -> Fill:
    """A table beside images 0.png to 9.png."""

    def fill(folder: Path) -> None:
        images(folder.parent / "img", 10)
        folder.with_suffix(".csv").write_text(text)

    return fill


TO_FOLD = "cross_validation:\n  strategies: [probe]"
ROWS = [(f"img/{number}.png", "wren" if number % 2 else "robin") for number in range(10)]
GERMAN = "Bild;Klasse\n" + "".join(f"{path};{label}\n" for path, label in ROWS)
ONE_GROUP = "path,label,patient\n" + "".join(f"{path},{label},{label}\n" for path, label in ROWS)


@pytest.mark.parametrize(
    ("given", "fill", "told"),
    [
        (
            "set",
            text_beside,
            "of class 'labels', and one to test on, got 0 (left out: 6 not an image).",
        ),
        ("set", animations, "of class 'wren', and one to test on, got 0 (left out: 5 GIF)."),
        (
            "set",
            line_end,
            r"got unsafe path 'wren/0\n1.png'. Nothing was read. Rename or remove it.",
        ),
        ("set", case_alone, "got two files named 'wren/a.png' (A and a count as equal, "),
        ("set.tar", links_in_a_tar, "link or special file 'birds/wren/again.png'. Pack the files"),
        ("set.7z", named(".7z", b"7z\xbc\xaf'\x1c"), "found a 7z archive at "),
        ("set.rar", named(".rar", b"Rar!"), "found a rar archive at "),
        ("set.tar.bz2", named(".tar.bz2", b"BZh9"), "found a file packed with bzip2 at "),
        ("set.xz", named(".xz", b"\xfd7zXZ"), "found a file packed with xz at "),
        ("set.zip", named(".zip", b"PK\x03\x04"), "found a zip that breaks off at "),
        ("set.tgz", named(".tgz", b"\x1f\x8b"), "packed with gzip that holds no whole tar at "),
        ("set.xlsx", named(".xlsx", b"PK\x03\x04"), "Save it as CSV in UTF-8, and give that."),
        ("set.png", named(".png", b"\x89PNG"), "found a single image at "),
        ("set.csv", table(ONE_GROUP), "at least two groups of class 'robin', got 5 images of one"),
        ("set.csv", table("path,label\nimg/1.png,Käfer\n"), ""),
    ],
    ids=lambda value: getattr(value, "__name__", None) if callable(value) else None,
)
def test_what_cannot_work_is_refused_in_one_line(
    quick: Path, given: str, fill: Fill, told: str
) -> None:
    fill(quick.parent / "set")
    before = sorted(quick.rglob("*"))
    text = failure("init", given)
    assert told in text
    assert "\n" not in text
    assert not [path for path in sorted(quick.rglob("*")) if path not in before and path.is_file()]


@pytest.mark.parametrize(
    ("given", "fill", "told"),
    [
        ("set", one_small, "of class 'jay', and one to test on, got 3. Add images, or name"),
        ("set", unlike_parts, "found a, b, c in train and a, b in test. Add what is missing, or"),
        ("set.csv", table(GERMAN), "the first line has the columns: Bild, Klasse."),
    ],
    ids=["one class is small", "a class is not tested", "columns of other names"],
)
def test_the_setting_that_a_refusal_names_is_the_one_that_fits(
    quick: Path, given: str, fill: Fill, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(quick.parent / "set")
    arguments = ["init", given]
    for _ in range(2 if "columns" in told else 1):
        text = failure(*arguments)
        assert text.endswith(" Settings go behind this command, too.")
        setting = re.search(r"-S (.*?)(\.| |;) ?(Settings|the first)", text)
        assert setting is not None
        arguments += ["-S", *shlex.split(setting[1])]
        arguments = [word.replace(".label=Bild", ".label=Klasse") for word in arguments]
    assert said(capsys, *arguments)[-1] == "Run: dvc repro"


def packed_inside(folder: Path) -> None:
    photographs(folder / "inside")
    shutil.make_archive(str(folder / "my photos"), "zip", folder / "inside")
    shutil.rmtree(folder / "inside")


def listed_inside(folder: Path) -> None:
    images(folder / "img", 10)
    lines = "".join(f"{path},{label}\n" for path, label in ROWS)
    (folder / "my labels.csv").write_text(f"path,label\n{lines}")


@pytest.mark.parametrize("fill", [packed_inside, listed_inside])
def test_an_archive_or_a_table_inside_is_given_with_the_command_that_the_refusal_names(
    quick: Path, fill: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(quick.parent / "a 'set'")
    text = failure("init", "a 'set'")
    command = re.search(r"give it: transferlab (.*)$", text)
    assert command is not None
    lines = said(capsys, *shlex.split(command[1]))
    assert "of 10 images in 2 classes" in lines[0]


@pytest.mark.parametrize("of_parts", [True, False], ids=["parts", "classes"])
def test_several_zips_are_unpacked_with_the_command_that_the_refusal_names(
    quick: Path, of_parts: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = quick.parent / "a 'set'"
    for number, name in enumerate(("train", "test") if of_parts else ("robin", "wren")):
        inside = ("robin", "wren") if of_parts else ("",)
        for first, label in enumerate(inside):
            images(folder / name / label, 6, 100 * number + 10 * first)
        shutil.make_archive(str(folder / name), "zip", folder / name)
        shutil.rmtree(folder / name)
    text = failure("init", folder.name)
    command = re.search(r"a folder of its name, and give .* again: (\(cd .*; done\))", text)
    assert command is not None
    subprocess.run(["bash", "-c", command[1].replace("python", sys.executable)], check=True)
    lines = said(capsys, "init", folder.name)
    assert f"of {24 if of_parts else 12} images in 2 classes" in lines[0]


def test_tables_of_parts_are_to_be_one_table(quick: Path) -> None:
    for part in ("train", "test"):
        images(quick.parent / "set" / part, 3)
        (quick.parent / "set" / part / "metadata.csv").write_text("file_name,label\n0.png,a\n")
    told = (
        "If test/metadata.csv, train/metadata.csv say the classes, put their lines into one table"
    )
    assert told in failure("init", "set")


def test_tables_and_archives_beside_class_folders_are_said_to_decide_nothing(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(quick.parent / "set")
    (folder / "patients.csv").write_text("path,label,patient\n")
    (folder / "wren/more.zip").write_bytes(b"PK")
    told = [line for line in said(capsys, "init", "set") if line.startswith("not looked into")]
    assert len(told) == 1 and told[0].startswith("not looked into: patients.csv, wren/more.zip. ")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label\r\n" + "".join(f"{path},{label}\r\n" for path, label in ROWS), "utf-8-sig"),
        ("path\tlabel\n" + "".join(f"{path}\t{label}\n" for path, label in ROWS), "utf-16"),
        ("sep=;\r\npath;label\r\n" + "".join(f"{p};{label}\r\n" for p, label in ROWS), "utf-8"),
        ("path,label\r" + "".join(f"{path},{label}\r" for path, label in ROWS), "utf-8"),
        (
            "path,label\n" + "".join(f"{p},{label}\n".replace("/", "\\") for p, label in ROWS),
            "utf-8",
        ),
    ],
    ids=["BOM", "UTF-16", "sep=", "CR", "backslashes"],
)
def test_tables_as_spreadsheets_write_them_are_read(
    quick: Path, text: str, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images(quick.parent / "img", 10)
    (quick.parent / "set.csv").write_bytes(text.encode(encoding))
    assert "a table of 10 images in 2 classes" in said(capsys, "init", "set.csv")[0]


MAC, ELSE = (unicodedata.normalize(form, "V\u00f6gel") for form in ("NFD", "NFC"))


def test_accents_as_a_mac_spells_them_are_the_same_letters(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for first, name in ((0, MAC), (100, "wren")):
        images(quick.parent / "set" / name, 5, first)
    assert f"  {ELSE}: 5" in said(capsys, "init", "set")
    rows = [(ELSE, number, [MAC, ELSE][number % 2]) for number in range(5)]
    rows += [("wren", number, "wren") for number in range(5)]
    lines = [f"set/{name}/{number}.png,{label}\n" for name, number, label in rows]
    (quick.parent / "birds.csv").write_text("path,label\n" + "".join(lines))
    assert f"  {ELSE}: 5" in said(capsys, "init", "birds.csv")
    images(quick.parent / "set" / ELSE, 5, 200)
    assert "count as equal, and an accent in either spelling" in failure("init", "set")


def test_a_table_in_a_code_page_is_refused_with_what_to_save(quick: Path) -> None:
    (quick.parent / "set.csv").write_bytes("path;label\nimg/0.png;Käfer\n".encode("cp1252"))
    assert failure("init", "set.csv").endswith(
        "set.csv: expected a table, got a byte 22 that is not UTF-8: save it as CSV in UTF-8, as "
        "Excel calls it."
    )


def test_files_that_are_no_images_are_left_out_and_not_stopped_at(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(quick.parent / "set")
    (folder / "wren/notes.txt").write_text("x")
    (folder / "wren/moving.gif").write_bytes(b"GIF89a and more")
    lines = said(capsys, "init", "set")
    assert "left out: 1 GIF, 1 not an image" in lines
    assert "  wren: 5" in lines
    assert not [line for line in lines if line.startswith("cannot be read")]


def test_an_encrypted_zip_is_refused_with_the_reason(quick: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("robin/0.png", grain(0))
    damaged = bytearray(content.getvalue())
    damaged[damaged.find(b"PK\x01\x02") + 8] |= 1
    (quick.parent / "set.zip").write_bytes(damaged)
    assert failure("init", "set.zip").endswith(
        "got encrypted file 'robin/0.png'. Nothing was read. Pack it anew without a password."
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """An address on this machine of what lies in a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_by_its_address_is_pinned_where_it_was_first_seen(
    own: Path, served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(own.parent / "set")
    packed = shutil.make_archive(str(own.parent / "served/my birds (1)"), "zip", folder)
    address = f"{served}/my%20birds%20(1).zip"
    lines = said(capsys, "init", address)
    assert lines[0].startswith(f"{address}: a zip of 10 images in 2 classes, ")
    dataset = parse(yaml.safe_load((own / "params.yaml").read_text())).dataset
    digest = hashlib.sha256(Path(packed).read_bytes()).hexdigest()
    assert (dataset.name, dataset.url, dataset.path) == ("my_birds_1", address, None)
    assert dataset.sha256 == digest
    bring(dataset, own / "raw")
    assert hashlib.sha256((own / "raw/archive.zip").read_bytes()).hexdigest() == digest
    file = own / "conf/dataset/my_birds_1.yaml"
    assert all(" # " in line for line in file.read_text().splitlines()[1:])
    text = file.read_text()
    assert "conf/dataset/my_birds_1.yaml: as it was" in "".join(said(capsys, "init", address))
    assert file.read_text() == text


def test_an_address_without_an_archive_changes_nothing(own: Path, served: str) -> None:
    before = {path: path.read_bytes() for path in (own / "conf").rglob("*.yaml")}
    assert "answered 404. Check dataset.url." in failure("init", f"{served}/nothing.zip")
    assert {path: path.read_bytes() for path in (own / "conf").rglob("*.yaml")} == before


def test_too_few_images_for_the_folds_that_conf_asks_for_are_refused(own: Path) -> None:
    edit(own / "conf/config.yaml", "cross_validation:\n  strategies: []", TO_FOLD)
    before = {path: path.read_bytes() for path in own.rglob("*.yaml")}
    assert failure("init", "my birds") == (
        "error: cross_validation: 5 parts outside a fold, which train.validation_fraction=0.2 asks "
        "for: expected at least 5 images of class 'robin' that differ, got 4. Raise "
        "train.validation_fraction, use more cross_validation.folds, or add images of it."
    )
    assert {path: path.read_bytes() for path in own.rglob("*.yaml")} == before


def test_a_class_that_is_nearly_all_images_is_said(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, name in ((20, "robin"), (5, "wren")):
        images(quick.parent / "set" / name, count, 100 * count)
    told = "80 % of the images are of class robin: always answering it is right as often. See "
    assert f"{told}balanced accuracy, and dvc exp run -S train.class_weights=balanced" in said(
        capsys, "init", "set"
    )
    images(quick.parent / "set" / "wren", 6, 900)
    assert not [line for line in said(capsys, "init", "set") if "always answering" in line]


def test_folders_inside_the_classes_are_said_to_decide_nothing(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("cat", "dog")):
        for part, first in (("train", 0), ("test", 50)):
            images(quick.parent / "set" / name / part, 4, 1000 * number + first)
    told = "folders inside the classes, test, train, decide no part: a table's splits would"
    assert told in said(capsys, "init", "set")
    for name, part in product(("cat", "dog"), ("train", "test")):
        folder = quick.parent / "set" / name / part
        folder.rename(folder.with_name(f"{part}ed"))
    told = "folders inside every class, tested, trained, decide nothing. If they are the classes, "
    assert f"{told}give a table, or move them to the top" in said(capsys, "init", "set")
