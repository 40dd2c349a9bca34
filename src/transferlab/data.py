"""A folder or archive of images -> checked listing -> decoded uint8 pixels on disk -> arrays.

Nothing is ever unpacked: files are read out of the zip one at a time and only their pixels are kept, so a path inside
an archive can at worst be a wrong name. Each file is decoded once, here; nothing decodes an image while training.
"""

import hashlib
import io
import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from transferlab import files, params

Pixels = npt.NDArray[np.uint8]
"""RGB image, uint8 [H, W, 3]."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
NO_IMAGE = f"is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
SPLITS = ("train", "test")
COLUMNS = ("id", "split", "label", "width", "height", "sha256", "stored_width", "stored_height", "offset")
MAX_ASPECT = 50
"""Longer side over shorter side; at 1 x 50 000 pixels, bringing the shorter side to `store_px` would take gigabytes."""

_IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif"),
)
# Formats that Pillow would open by content, whatever the name says, and that are no photographs.
_OTHER_FORMATS = {b"GIF8": "GIF", b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"8BPS": "Photoshop"}
_MB = 10**6

# Pillow's limit is one for the whole process and half of it only a warning; `decode` has one per call instead.
Image.MAX_IMAGE_PIXELS = None

In = TypeVar("In")
Out = TypeVar("Out")


# ---------------------------------------------------------------- chance


def named_generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator that depends on (seed, purpose) alone, so that no other use of chance can shift it."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def stratified_split(
    labels: npt.NDArray[np.int64], fraction: float, seed: int, purpose: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hold out `fraction` of every class, at least one image and never all of them.

    Args:
        labels: class of each image, [N].
        fraction: share to hold out, in (0, 1).
        seed: with `purpose`, the only source of chance.
        purpose: what the split is for, such as "validation".

    Returns:
        Sorted indices of the kept and of the held-out images.

    Raises:
        ValueError: a class has fewer than two images.
    """
    draws = named_generator(seed, purpose).random(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise ValueError(f"{purpose} split: expected at least 2 images of every class, got 1 of class {label}.")
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out[members[np.argsort(draws[members], kind="stable")[:count]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


# ---------------------------------------------------------------- a file -> RGB


def decode(file: IO[bytes] | Path, *, max_megapixels: int, shorter_px: int | None = None) -> Pixels:
    """Turn an image file into RGB; the only way there is, so training and prediction see the same.

    Applies EXIF rotation, scales 16 bits to 8, puts transparency on white. The format is told by content, not by name.

    Args:
        file: path or opened file.
        max_megapixels: larger images are refused before their pixels are read.
        shorter_px: bring the shorter side to this, up or down, antialiased, and the longer one in proportion, rounded;
            with `dataset.store_px`, the pixels are those that preprocessing stores. None keeps the size.

    Returns:
        Writable uint8 [H, W, 3].

    Raises:
        ValueError: why the image cannot be used, as the end of a sentence that begins with its name.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return decode(opened, max_megapixels=max_megapixels, shorter_px=shorter_px)
    image = _decoded(file, max_megapixels)
    return np.array(image if shorter_px is None else _resized(image, shorter_px))


def _decoded(file: IO[bytes], max_megapixels: int) -> Image.Image:
    with _pillow_errors():
        image = Image.open(file, formats=FORMATS)
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise ValueError(f"has {megapixels:,.1f} megapixels, more than dataset.max_megapixels={max_megapixels}")
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ValueError(f"is {image.width} x {image.height} pixels, one side over {MAX_ASPECT} times the other")
    with _pillow_errors():
        ImageOps.exif_transpose(image, in_place=True)
        return _rgb(image)


def _resized(image: Image.Image, shorter_px: int) -> Image.Image:
    scale = shorter_px / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    # The gap lets Pillow average whole blocks of large photographs first; 3 is nearly the same as one exact step.
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


@contextmanager
def _pillow_errors() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError:  # its own text is the address of an object
        raise ValueError(NO_IMAGE) from None
    except Exception as error:  # on damaged files Pillow's readers raise nearly anything
        raise ValueError(f"does not decode ({str(error) or type(error).__name__})") from error


def _rgb(image: Image.Image) -> Image.Image:
    """RGB without the traps of `convert`: 16 bits are not clipped, hidden colours stay hidden."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        eight_bits = (np.asarray(image).astype(np.uint32) + 128) // 257
        return Image.fromarray(eight_bits.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode!r} does not say which value is white; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


# ---------------------------------------------------------------- a folder -> an archive


def pack_folder(folder: Path, archive: Path) -> None:
    """Pack a folder into a stored zip that depends on names and bytes alone, atomically.

    Raises:
        ValueError: the folder does not exist, holds a link that leaves it, a link to a folder or a special file, or
            the disk is full, or something cannot be read.
    """
    members = _walk(folder)
    check_space(archive.parent, sum(path.stat().st_size for path in members.values() if path.is_file()))
    try:
        write_zip(archive, members)
    except OSError as error:
        raise ValueError(
            f"{folder}: could not be packed into {archive} ({error}). Check permissions and free space, and run again."
        ) from error


def folder_sha256(path: Path) -> str:
    """Digest of a folder's listing in the form of `sha256sum`, sorted by path; of a file, its sha256.

    Clutter such as .DS_Store does not count: a file manager that merely looks at a folder must not re-run anything.

    Raises:
        ValueError: as `pack_folder`.
    """
    if path.is_file():
        return files.file_hash(path)
    members = _walk(path)
    listed = [name for name in sorted(members) if not name.endswith("/") and not _clutter(name)]
    lines = [f"{files.file_hash(members[name])}  {name}\n" for name in listed]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_zip(archive: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a stored zip atomically: sorted, fixed dates and modes; a name that ends with / is an empty folder."""
    with files.atomic(archive, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened:
        for name in sorted(members):
            content = members[name]
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix: the mode bits below count
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            if name.endswith("/"):
                info.external_attr = (stat.S_IFDIR | 0o755) << 16
                opened.writestr(info, b"")
            elif isinstance(content, bytes):
                opened.writestr(info, content)
            else:
                info.file_size = content.stat().st_size  # decides whether the entry needs 64-bit sizes
                with content.open("rb") as source, opened.open(info, "w") as target:
                    shutil.copyfileobj(source, target, _MB)


def check_space(folder: Path, need: int) -> None:
    """Raise ValueError when the disk of `folder` has less than `need` bytes free."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if need > free:
        raise ValueError(
            f"{folder}: need {need / _MB:,.0f} MB, {free / _MB:,.0f} MB are free. Free some space and run again."
        )


def _walk(root: Path) -> dict[str, Path]:
    """Posix path below `root` -> file, and with a / at the end -> folder."""
    if not root.is_dir():
        raise ValueError(
            f"dataset.path: expected a zip, or a folder with a folder per class, found nothing at {root}. "
            "Relative paths count from the repository."
        )
    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        for path in waiting.pop().iterdir():
            name = path.relative_to(root).as_posix()
            if path.is_symlink() and _clutter(name):
                continue
            if problem := _path_problem(path, root):
                raise ValueError(f"{path}: {problem}. Replace it by the files themselves, or remove it.")
            if path.is_dir():
                found[f"{name}/"] = path
                waiting.append(path)
            else:
                found[name] = path
    return found


def _path_problem(path: Path, root: Path) -> str | None:
    # Folders behind links are never entered, so a loop cannot hang.
    if path.is_symlink() and not path.exists():
        return "link that leads nowhere"
    if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
        return f"link that leaves the folder, to {path.resolve()}"
    if path.is_symlink() and path.is_dir():
        return "link to a folder"
    if not path.is_dir() and not path.is_file():
        return "neither a file nor a folder"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "name that is not UTF-8"
    return None


# ---------------------------------------------------------------- an archive -> which file is what


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A file in a class folder."""

    id: str  # posix path below the archive's top folder
    split: str
    label: str
    info: zipfile.ZipInfo


@dataclass(frozen=True, kw_only=True)
class _Skipped:
    """A file that is no image of the data set."""

    id: str
    reason: str
    kind: str  # what it is counted as
    bad: bool = False  # an image, by its name, that cannot be used
    place: tuple[str, str] = ("", "")  # split and class


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    if not archive.is_file():
        raise ValueError(f"{archive}: expected a zip, found nothing. Run the download stage first: dvc repro download")
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, NotImplementedError) as error:
        raise ValueError(
            f"{archive}: not a readable zip ({str(error) or type(error).__name__}). "
            "Delete it and run again to download it afresh."
        ) from error


def _members(opened: zipfile.ZipFile, archive: Path, dataset: params.Dataset) -> list[tuple[str, zipfile.ZipInfo]]:
    """Clean posix path and entry of everything inside, once the whole archive is found safe."""
    members: list[tuple[str, zipfile.ZipInfo]] = []
    taken: set[str] = set()
    for info in opened.infolist():
        if problem := _entry_problem(info, dataset):
            raise ValueError(f"{archive}: {problem} {info.orig_filename!r}. Nothing was read; pack the archive anew.")
        path = "/".join(part for part in info.filename.split("/") if part not in ("", "."))
        key = unicodedata.normalize("NFC", path).casefold()
        if key in taken and not info.is_dir():
            raise ValueError(f"{archive}: two files are named {path!r} (A and a count as equal). Rename one.")
        taken.add(key)
        members.append((path, info))
    megabytes = sum(info.file_size for _, info in members) / _MB
    for value, what, key in ((len(members), "entries", "max_files"), (megabytes, "MB unpacked", "max_total_mb")):
        if value > getattr(dataset, key):
            raise ValueError(
                f"{archive}: {value:,.0f} {what}, expected at most dataset.{key}={getattr(dataset, key)}. "
                "Raise the limit if you trust the archive."
            )
    return members


def _entry_problem(info: zipfile.ZipInfo, dataset: params.Dataset) -> str | None:
    name = info.orig_filename  # `filename` ends at a null byte
    parts = name.split("/")
    outside = name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    large = info.file_size > _MB  # small files may be as empty as they like
    checks = {
        "unsafe path": outside or not name or re.search(r"[\\\x00-\x1f]", name),
        "link or special file": kind not in (0, stat.S_IFREG, stat.S_IFDIR),
        "encrypted file": info.flag_bits & 0x1,
        "neither stored nor deflated, the only two methods that are read:": (
            info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        ),
        "name longer than 255 bytes:": max(len(part.encode()) for part in parts) > 255,
        f"{info.file_size / _MB:,.0f} MB, more than dataset.max_file_mb={dataset.max_file_mb}, in": (
            info.file_size > dataset.max_file_mb * _MB
        ),
        f"packed more than dataset.max_ratio={dataset.max_ratio} times smaller:": (
            large and info.file_size > dataset.max_ratio * info.compress_size
        ),
    }
    return next((problem for problem, found in checks.items() if found), None)


def _clutter(path: str) -> str | None:
    """What kind of clutter a path is, as operating systems and editors leave it behind; None for what a person put."""
    for part in path.rstrip("/").split("/"):
        if part == "__MACOSX" or part.lower() in ("thumbs.db", "desktop.ini"):
            return part
        if part.startswith("."):
            return "._*" if part.startswith("._") else part
    return None


def _below_top(
    members: list[tuple[str, zipfile.ZipInfo]], dataset: params.Dataset
) -> list[tuple[str, zipfile.ZipInfo]]:
    """The members with one common top folder taken off, where there is one."""
    inside = [path for path, _ in members if "/" in path and not _clutter(path)]
    tops = {path.split("/")[0] for path in inside}
    if dataset.train_folder is not None and dataset.test_folder is not None:
        wrapped = not tops & {dataset.train_folder.split("/")[0], dataset.test_folder.split("/")[0]}
    else:  # top/class/file; a lone class/file is no wrapping
        wrapped = any(path.count("/") > 1 for path in inside)
    if len(tops) != 1 or not wrapped:
        return members
    top = f"{tops.pop()}/"
    return [(path.removeprefix(top), info) for path, info in members if path != top.rstrip("/")]


def _arrange(
    members: list[tuple[str, zipfile.ZipInfo]], archive: Path, dataset: params.Dataset
) -> tuple[list[_Entry], list[_Skipped], tuple[str, ...]]:
    """Give every file its split and class, or the reason why it has none.

    Returns:
        Entries sorted by id, skipped files, and the classes in their final order.
    """
    bases = {"train": ""}
    if dataset.train_folder and dataset.test_folder:
        bases = {"train": dataset.train_folder.strip("/"), "test": dataset.test_folder.strip("/")}
    folders: dict[str, set[str]] = {split: set() for split in bases}
    entries, skipped = [], []
    for path, info in _below_top(members, dataset):
        split, label = _place(path, bases, info.is_dir())
        if kind := _clutter(path):
            skipped += [] if info.is_dir() else [_Skipped(id=path, reason=f"ignored: {kind}", kind=kind)]
        elif label:
            folders[split].add(label)
            entries += [] if info.is_dir() else [_Entry(id=path, split=split, label=label, info=info)]
        elif not info.is_dir():
            skipped.append(_Skipped(id=path, reason="ignored: outside the class folders", kind="outside"))
    classes = _classes(folders, archive, dataset, [path for path, _ in members])
    reason = "ignored: its folder is not in dataset.classes"
    skipped += [_Skipped(id=e.id, reason=reason, kind="other class") for e in entries if e.label not in classes]
    entries = sorted((entry for entry in entries if entry.label in classes), key=lambda entry: entry.id)
    if dataset.test_fraction is not None:
        entries = _hold_out(entries, classes, dataset.test_fraction, dataset.split_seed, archive)
    return entries, skipped, classes


def _place(path: str, bases: Mapping[str, str], is_folder: bool) -> tuple[str, str]:
    """Split and class of a path; two empty texts outside the class folders."""
    for split, base in bases.items():
        prefix = f"{base}/" if base else ""
        if path.startswith(prefix):
            label, slash, _ = path.removeprefix(prefix).partition("/")
            if slash or is_folder:
                return split, label
    return "", ""


def _classes(folders: dict[str, set[str]], archive: Path, dataset: params.Dataset, paths: list[str]) -> tuple[str, ...]:
    """The one list of classes that everything behind uses."""
    if not all(folders.values()):
        raise ValueError(_wrong_layout(archive, dataset, paths))
    if dataset.classes is not None:
        for split, found in folders.items():
            if missing := [name for name in dataset.classes if name not in found]:
                raise ValueError(
                    f"{archive}: expected the classes {list(dataset.classes)} of dataset.classes in {split}, "
                    f"found {_few(found)}. Missing: {_few(missing)}."
                )
        return dataset.classes
    train, test = folders["train"], folders.get("test", folders["train"])
    if train != test:
        raise ValueError(
            f"{archive}: expected the same classes in train and test, found {_few(train)} in train and {_few(test)} "
            "in test. Add what is missing, or name the classes to use in dataset.classes."
        )
    if len(train) < 2:
        raise ValueError(f"{archive}: need at least 2 classes, found 1 ({_few(train)}). Add a folder per class.")
    return tuple(sorted(train))


def _few(names: Iterable[str]) -> str:
    """Up to 20 names, sorted."""
    listed = sorted(names)
    return ", ".join(listed[:20]) + (f" and {len(listed) - 20} more" if len(listed) > 20 else "")


def _wrong_layout(archive: Path, dataset: params.Dataset, paths: list[str]) -> str:
    below_top = {path.rsplit("/", 1)[0] for path in paths if "/" in path and not _clutter(path)}
    top_files = sum("/" not in path for path in paths)
    if dataset.train_folder:
        expected = [f"{dataset.train_folder}/<class>/<image>.jpg", f"{dataset.test_folder}/<class>/<image>.jpg"]
        advice = (
            "Set dataset.train_folder and dataset.test_folder to the names in your archive or, with class folders at "
            "the top, both to null and dataset.test_fraction to 0.2."
        )
    else:
        expected = ["<class>/<image>.jpg"]
        advice = "Put the images of every class into a folder of its own, named like the class."
    tree = "".join(f"\n  {line}" for line in expected)
    found = f"found the folders: {_few(below_top) or 'none'}; files at the top: {top_files}"
    return f"{archive}: expected{tree}\n{found}. {advice}"


def _hold_out(
    entries: list[_Entry], classes: tuple[str, ...], fraction: float, seed: int, archive: Path
) -> list[_Entry]:
    """Draw the test images among the listed files, so that an unreadable one moves no other."""
    counts = Counter(entry.label for entry in entries)
    for name in classes:
        if counts[name] < 3:
            raise ValueError(
                f"{archive}: expected at least 3 files of class {name!r} (2 to train, 1 to test), got {counts[name]}. "
                "Add images, or name the classes to use in dataset.classes."
            )
    labels = np.array([classes.index(entry.label) for entry in entries])
    tested = set(stratified_split(labels, fraction, seed, "test")[1].tolist())
    return [
        _Entry(id=entry.id, split="test" if index in tested else "train", label=entry.label, info=entry.info)
        for index, entry in enumerate(entries)
    ]


# ---------------------------------------------------------------- an archive -> pixels on disk


def preprocess(archive: Path, dataset: params.Dataset, out: Path) -> None:
    """Check an archive as a whole, decode each image once, and write pixels and manifests under `out`.

    All or nothing: a failed attempt leaves what was there before, and files of other names are left alone. Memory stays
    bounded by a few images, however many there are.

    Raises:
        ValueError: what is wrong with the archive, its layout or its images.
    """
    with _opened(archive) as opened:
        entries, skipped, classes = _arrange(_members(opened, archive, dataset), archive, dataset)
        check_space(out, 4 * dataset.store_px**2 * len(entries))  # 3 bytes a pixel, photographs of about 4:3
        with _all_or_nothing(out) as building:
            rows, unusable = _write_pixels(opened, entries, dataset, building)
            skipped += unusable
            if dataset.on_bad_image == "error":
                _refuse_bad(skipped, archive)
            _check_counts(rows, skipped, classes, archive)
            if dataset.on_duplicate == "error":
                _refuse_duplicates(rows, archive)
            _write_tables(rows, skipped, classes, dataset, building)
            _write_samples(load_images(building / "train", classes), building / "samples.png")
    print(_summary(rows, skipped, classes))


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[Path]:
    """A folder to build in, beside `out`; what is in it moves to `out` when the block ends well."""
    building = out.parent / f".{out.name}.part"
    shutil.rmtree(building, ignore_errors=True)  # of a killed attempt; DVC's lock keeps a second writer away
    try:
        building.mkdir(parents=True)
        yield building
        for path in sorted(path for path in building.rglob("*") if path.is_file()):
            target = out / path.relative_to(building)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    except OSError as error:
        raise ValueError(
            f"{out}: not written ({error.strerror or error}). Nothing was changed; free some space or check the "
            "permissions, and run again."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_pixels(
    opened: zipfile.ZipFile, entries: list[_Entry], dataset: params.Dataset, folder: Path
) -> tuple[list[dict[str, Any]], list[_Skipped]]:
    """Append every image to its split's images.bin; return the manifest rows of both splits and what was left out."""
    rows: list[dict[str, Any]] = []
    skipped: list[_Skipped] = []
    threads = min(os.cpu_count() or 1, 8)  # each may hold an image of `max_megapixels`
    Image.init()  # Pillow imports its readers at first use, which threads should not do at once
    for split in SPLITS:
        (folder / split).mkdir()
    with (
        (folder / "train" / "images.bin").open("wb") as train,
        (folder / "test" / "images.bin").open("wb") as test,
        ThreadPoolExecutor(threads) as pool,  # Pillow lets go of the interpreter while it works
    ):
        targets = {"train": train, "test": test}
        contents = ((entry, _read(opened, entry.info), dataset) for entry in entries)
        for entry, result in zip(entries, in_order(pool, _prepare, contents, ahead=2 * threads), strict=True):
            if isinstance(result, _Skipped):
                skipped.append(result)
                continue
            row, pixels = result
            rows.append({**row, "offset": targets[entry.split].tell()})
            targets[entry.split].write(pixels.tobytes())
    return rows, skipped


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # With a number, `read` never inflates more than that; without one, a lying header could fill the memory.
    with opened.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} has {len(content)} bytes and declares {info.file_size}")
    return content


def in_order(pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], ahead: int) -> Iterator[Out]:
    """`pool.map` that takes only so many items ahead, because each is held in memory."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _prepare(item: tuple[_Entry, bytes, params.Dataset]) -> tuple[dict[str, Any], Pixels] | _Skipped:
    """Decode one file: its manifest row and stored pixels, or why it is left out."""
    entry, content, dataset = item
    place = (entry.split, entry.label)
    try:
        image = _decoded(io.BytesIO(content), dataset.max_megapixels)
    except ValueError as error:
        other = next((name for start, name in _OTHER_FORMATS.items() if content.startswith(start)), None)
        if other or not entry.id.lower().endswith(_IMAGE_ENDINGS):
            reason = f"left out: {NO_IMAGE}{f' but {other}' if other else ''}"
            return _Skipped(id=entry.id, reason=reason, kind=other or "not an image", place=place)
        reason = str(error) if content else "is empty"
        return _Skipped(id=entry.id, reason=reason, kind="bad image", bad=True, place=place)
    pixels = np.asarray(_resized(image, dataset.store_px))  # not `decode`: full-size arrays would cost half the time
    row = {
        "id": entry.id,
        "split": entry.split,
        "label": entry.label,
        "width": image.width,
        "height": image.height,
        "sha256": hashlib.sha256(content).hexdigest(),
        "stored_width": pixels.shape[1],
        "stored_height": pixels.shape[0],
    }
    return row, pixels


def _refuse_bad(skipped: list[_Skipped], archive: Path) -> None:
    bad = [f"{item.id}: {item.reason}" for item in skipped if item.bad]
    if bad:
        raise ValueError(
            f"{archive}: images that cannot be used: {len(bad)}{_ten(bad)}\n"
            "Repair or remove them, or leave them out: -S dataset.on_bad_image=skip"
        )


def _check_counts(rows: list[dict[str, Any]], skipped: list[_Skipped], classes: Sequence[str], archive: Path) -> None:
    counts = Counter((row["split"], row["label"]) for row in rows)
    for split, least in (("train", 2), ("test", 1)):
        for name in classes:
            if counts[split, name] < least:
                excluded = [item for item in skipped if item.place == (split, name)]
                raise ValueError(
                    f"{archive}: class {name!r} in {split} has {counts[split, name] or 'no'} usable image, expected at "
                    f"least {least}; files left out: {len(excluded)}{_ten(f'{e.id}: {e.reason}' for e in excluded)}\n"
                    "Add images, or name the classes to use in dataset.classes."
                )


def _refuse_duplicates(rows: list[dict[str, Any]], archive: Path) -> None:
    trained = {row["sha256"]: row["id"] for row in rows if row["split"] == "train"}
    twice = [row for row in rows if row["split"] == "test" and row["sha256"] in trained]
    if twice:
        pairs = _ten(f"{trained[row['sha256']]} = {row['id']}" for row in twice)
        raise ValueError(
            f"{archive}: the same image is in train and in test:{pairs}\n"
            "Results on it would be too good. Remove one of the two, or accept it: -S dataset.on_duplicate=allow"
        )


def _ten(lines: Iterable[str]) -> str:
    """The first ten lines, indented, and how many more there are."""
    listed = list(lines)
    rest = [f"and {len(listed) - 10} more"] if len(listed) > 10 else []
    return "".join(f"\n  {line}" for line in listed[:10] + rest)


def _write_tables(
    rows: list[dict[str, Any]], skipped: list[_Skipped], classes: Sequence[str], dataset: params.Dataset, folder: Path
) -> None:
    for split in SPLITS:
        files.write_csv(folder / split / "manifest.csv", COLUMNS, (row for row in rows if row["split"] == split))
    facts = {"dataset": dataset.name, "classes": list(classes), "store_px": dataset.store_px}
    files.write_json(folder / "classes.json", facts)
    counts = Counter((row["split"], row["label"]) for row in rows)
    table = [{"class": name, **{split: counts[split, name] for split in SPLITS}} for name in classes]
    files.write_csv(folder / "class_counts.csv", ("class", *SPLITS), table)
    listed = [{"id": item.id, "reason": item.reason} for item in sorted(skipped, key=lambda item: item.id)]
    files.write_csv(folder / "skipped.csv", ("id", "reason"), listed)


def _summary(rows: list[dict[str, Any]], skipped: list[_Skipped], classes: Sequence[str]) -> str:
    splits = Counter(row["split"] for row in rows)
    text = f"{splits['train']} training and {splits['test']} test images of {len(classes)} classes."
    for verb, group in (
        ("Left out", [item for item in skipped if item.place[0]]),
        ("Ignored", [item for item in skipped if not item.place[0]]),
    ):
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(item.kind for item in group).most_common())
        text += f" {verb} {len(group)} file{'s' * (len(group) > 1)} ({kinds})." if group else ""
    return text


# ---------------------------------------------------------------- pixels on disk -> arrays


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """The images of one split, memory-mapped or on a device; `images[i]` is a read-only uint8 [H, W, 3]."""

    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]  # index into classes, [N]
    classes: tuple[str, ...]
    digest: str
    """Names this data in caches: sha256 of the manifest, which holds the hash and stored size of every image."""
    pixels: npt.NDArray[np.uint8]  # all images one after the other, memory-mapped; a tensor once on a device
    places: npt.NDArray[np.int64]  # offset, height and width of each, [N, 3]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Pixels:
        """One image, as a view of all pixels."""
        offset, height, width = self.places[index].tolist()
        return self.pixels[offset : offset + height * width * 3].reshape(height, width, 3)


def load_images(folder: Path, classes: Sequence[str]) -> Images:
    """Open what `preprocess` wrote for one split.

    Args:
        folder: holds manifest.csv and images.bin.
        classes: class names in the order of their indices.

    Raises:
        ValueError: a label outside `classes`, or pixels that do not belong to the manifest.
    """
    manifest, stored = folder / "manifest.csv", folder / "images.bin"
    if not (manifest.is_file() and stored.is_file()):
        raise ValueError(f"{folder}: expected manifest.csv and images.bin. Run: dvc repro preprocess")
    rows = files.read_csv(manifest)
    index = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row["label"] not in index:
            raise ValueError(f"{manifest}: label {row['label']!r} not in {list(classes)} ({row['id']}).")
    columns = ("offset", "stored_height", "stored_width")
    places = np.array([[int(row[column]) for column in columns] for row in rows], dtype=np.int64).reshape(-1, 3)
    expected, size = int((places[:, 1] * places[:, 2] * 3).sum()), stored.stat().st_size
    if size != expected or not size:
        raise ValueError(f"{stored}: expected {expected} bytes, got {size}. Write it anew: dvc repro -f preprocess")
    return Images(
        ids=tuple(row["id"] for row in rows),
        labels=np.array([index[row["label"]] for row in rows], dtype=np.int64),
        classes=tuple(classes),
        digest=files.file_hash(manifest),
        pixels=np.asarray(np.memmap(stored, dtype=np.uint8, mode="r")),
        places=places,
    )


# ---------------------------------------------------------------- a picture of the data


def _write_samples(images: Images, path: Path, columns: int = 6, rows: int = 2, side: int = 152) -> None:
    """Draw a grid of training images, the same ones every time, about 960 pixels wide."""
    gap, heading = 8, 34
    shown = images.classes[:5]
    block = heading + rows * (side + gap)
    footer = heading if len(images.classes) > len(shown) else 0
    sheet = Image.new("RGB", (columns * (side + gap) + gap, len(shown) * block + gap + footer), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=17)
    for number, name in enumerate(shown):
        members = np.flatnonzero(images.labels == number)
        draw.text((gap, number * block + 9), f"{name} ({len(members)} training images)", fill="#222222", font=font)
        chosen = members[np.unique(np.linspace(0, len(members) - 1, columns * rows).astype(int))]
        for place, index in enumerate(chosen):
            tile = ImageOps.fit(Image.fromarray(images[index]), (side, side), Image.Resampling.BILINEAR)
            left, top = gap + place % columns * (side + gap), number * block + heading + place // columns * (side + gap)
            sheet.paste(tile, (left, top))
    if footer:
        text = f"and {len(images.classes) - len(shown)} more classes"
        draw.text((gap, len(shown) * block + 9), text, fill="#222222", font=font)
    with files.atomic(path, "wb") as file:
        sheet.save(file, "PNG")
