"""The command that makes a person's own images the checkout's data set."""

import shutil
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import yaml

from ..data.archive.bring import fetched
from ..data.ingest import advice, checks
from ..data.ingest.layout import Skipped, of_kinds
from ..data.ingest.parts import NAMES, few
from ..params.dataset import Dataset
from ..params.reading import parse
from ..params.whole import Params
from ..pipeline.files import atomic
from ..pipeline.places import cache_folder, checkout, from_home
from ..pipeline.terminal import printable
from ..report.words import agreeing, counted
from ..settings import amount, at_work, compose, composed, dataset_file
from ..settings.cost import expectation
from ..settings.look import Found, look_at

CONFIG = "conf/config.yaml"

TINY = 20
"""Images of a class below which a report hardly tells strategies apart."""

UNEVEN = 0.8
"""Share of one class from which on accuracy alone says little."""

LEAST = 3
"""Training images of every class: two to fit and one to validate on."""

LARGE_MB = 500  # whose digest takes more than seconds

UNHASHED = f"dataset.path_sha256={'f' * 64}"
"""Composes without reading the images."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to be written."""

    name: str
    path: str  # as conf/ has it
    config: str  # text of conf/config.yaml
    dataset: str  # text of the data set's file
    kept: bool  # whether that file is there already and stays as it is
    replaced: str | None  # the path of another data set, whose file goes


def init_arguments(parser: ArgumentParser) -> None:
    """What `transferlab init` takes."""
    parser.add_argument(
        "path",
        metavar="PATH",
        help="folder, zip, tar, table, or address of an archive; after -- if it begins with a -",
    )
    parser.add_argument("--name", help="of the data set; default: after the folder")
    parser.add_argument("--force", action="store_true", help="replace a data set of that name")
    parser.add_argument(
        *("-S", "--set"),
        action="append",
        default=[],
        dest="settings",
        metavar="dataset.KEY=VALUE",
        help="a setting that the images need, such as dataset.labels=names",
    )


def init(*, path: str, name: str | None, settings: Sequence[str], force: bool) -> None:
    """Make your own images this checkout's data set: look at them, write their settings.

    Args:
        path: Of a folder, a zip, tar or tar.gz, or a CSV or Parquet table; or the address of an
            archive, whose hash is pinned.
        name: What the data set is called; None: after the folder.
        settings: `dataset.KEY=VALUE`.
        force: Whether the settings of another data set of that name may go.

    Raises:
        ValueError: Why these images cannot be used; nothing has been written.
    """
    root = checkout()
    at_work.expect_nobody_else(root)
    given = dataset_file.read_settings(settings)
    plan = _plan(root, dataset_file.stored_path(path), name, given, force=force)
    values = parse(yaml.safe_load(_composed(root, plan, *_unhashed(plan))), "conf")
    _expect_spoken_of(values, plan)
    place, sha256 = _brought(values.dataset, plan.path)
    try:
        found, notes, preview = _glance(place, look_at(place, values.dataset), values, plan)
    except ValueError as error:
        more = " Settings go behind this command, too." if "-S " in str(error) else ""
        raise ValueError(f"{error}{more}") from error
    for note in [*_left_out(found), *_parts_inside(found), *_tiny(found), *_uneven(found), *notes]:
        print(note)
    if not plan.kept:
        known = replace(values.dataset, sha256=sha256)
        text = dataset_file.described(known, found, given)
        plan = Plan(**{**vars(plan), "dataset": text})
    if found.megabytes > LARGE_MB:
        print("reading every file once, for the digest that tells when one changes", flush=True)
    _write(root, plan, _composed(root, plan))
    _say_what_next(plan, preview, expectation(values, amount.counted(found, values.dataset)))


def _unhashed(plan: Plan) -> list[str]:
    return [] if dataset_file.is_address(plan.path) else [UNHASHED]


def _brought(dataset: Dataset, path: str) -> tuple[Path, str | None]:
    """Where the images are, and the sha256 of an archive that was fetched."""
    if dataset.url is None:
        return from_home(path), None
    kept = fetched(dataset)
    return kept.path, kept.sha256


def _plan(
    root: Path,
    path: str,
    wanted: str | None,
    given: Mapping[str, object],
    *,
    force: bool,
) -> Plan:
    address = dataset_file.is_address(path)
    name = dataset_file.name_of(
        Path(unquote(urlsplit(path).path)) if address else from_home(path), wanted
    )
    config = dataset_file.with_dataset(_text(root / CONFIG), name)
    file = root / f"conf/dataset/{name}.yaml"
    before = dataset_file.path_in(file) if file.exists() else None
    here = before is not None and dataset_file.same_place(before, path)
    shown = f"conf/dataset/{name}.yaml"
    if file.exists() and before is None:
        raise ValueError(f"{shown}: is one of the project's own. Give another name: --name ...")
    if before is not None and not here and not force:
        raise ValueError(
            f"{shown}: expected a free name, got the settings of {before}. Give another with "
            "--name, or replace them: --force."
        )
    if here and given and not force:
        raise ValueError(
            f"{shown}: is there. Edit it, or have it written anew with these settings: --force."
        )
    kept = here and not force
    text = _text(file) if kept else dataset_file.draft(name, path, given)
    replaced = None if before is None or here else before
    return Plan(name=name, path=path, config=config, dataset=text, kept=kept, replaced=replaced)


def _expect_spoken_of(values: Params, plan: Plan) -> None:
    """Refuse a conf/config.yaml whose preset brings a data set of its own.

    Raises:
        ValueError: It does.
    """
    spoken_of = values.dataset.path or values.dataset.url
    if spoken_of is None or not dataset_file.same_place(spoken_of, plan.path):
        raise ValueError(
            f"{CONFIG}: expected a preset without a data set of its own, got one with "
            f"{values.dataset.name}. Write there: - preset: default"
        )


def _text(file: Path) -> str:
    """With its line ends."""
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8, got other bytes at {error.start}.") from error


def _composed(root: Path, plan: Plan, *overrides: str) -> str:
    """What conf/ would compose to, found in a copy."""
    with TemporaryDirectory(prefix="transferlab-") as folder:
        conf = Path(folder) / "conf"
        shutil.copytree(root / "conf", conf, ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in _files(plan).items():
            (Path(folder) / name).write_bytes(text.encode())
        return compose.compose(overrides, Path(folder))


def _files(plan: Plan) -> dict[str, str]:
    return {CONFIG: plan.config, f"conf/dataset/{plan.name}.yaml": plan.dataset}


def _refuse_few(found: Found, plan: Plan, skipped: Sequence[Skipped]) -> None:
    """Refuse classes of which too few files can be used.

    Raises:
        ValueError: There are some.
    """
    asked = found.kind == "table" or not found.parts.get("validation")
    of_train = {name: count.get("train", 0) for name, count in found.counts.items()}
    enough = [name for name, train in of_train.items() if train - found.drawn >= LEAST]
    for name, train in of_train.items():
        if asked and name not in enough:
            out = Counter(item.kind for item in skipped if item.place == ("train", name))
            besides = f" (left out: {of_kinds(out)})" if out else ""
            alone = f" or, if {enough[0]} is the data set, give that" if len(enough) == 1 else ""
            raise ValueError(
                f"{plan.path}: expected at least {LEAST} training images of class "
                f"{name!r}{', and one to test on' if found.drawn else ''}, got {train}{besides}. "
                f"{advice.without(enough)[:-1]}{alone}."
            )


def _in_words(plan: Plan, found: Found, dataset: Dataset) -> str:
    """What is there: a line of sums, one of parts, and one for each class."""
    sums: Counter[str] = Counter()
    for count in found.counts.values():
        sums.update(count)
    of_parts = "" if found.drawn else f" ({of_kinds(sums)})"
    lines = [
        f"{plan.path}: a {found.kind} of {sum(sums.values())} images in {len(found.counts)} "
        f"classes, {found.megabytes:.1f} MB{of_parts}"
    ]
    told = [f"{it} is the {part} part" for part, it in found.parts.items() if it not in ("", part)]
    if found.drawn:
        told.append(
            f"{100 * (dataset.test_fraction or 0):.0f} % of every class are drawn as test images"
        )
    if found.groups:
        stay = agreeing(found.groups, "stays", "stay")
        told.append(f"{counted(found.groups, 'group')} {stay} undivided")
    lines += [", ".join(told)] if told else []
    columns = [f"{it} is the {kind}" for kind, it in found.columns.items() if it != kind]
    lines += [", ".join(columns)] if columns else []
    if found.ignored:
        lines.append(f"left out: {of_kinds(found.ignored)}")
    lines += [f"  {name}: {_of_class(found, name)}" for name in list(found.counts)[:30]]
    if len(found.counts) > 30:
        lines.append(f"  and {counted(len(found.counts) - 30, 'more class', 'more classes')}")
    return "\n".join(map(printable, lines))


def _of_class(found: Found, name: str) -> str:
    count = found.counts[name]
    return str(sum(count.values())) if found.drawn else of_kinds(count)


def _left_out(found: Found) -> list[str]:
    """Which images have no place, and that tables and archives beside them decide nothing."""
    notes = []
    if found.outside:
        listed = _listed([f"{place} ({count})" for place, count in found.outside.most_common()])
        notes.append(printable(f"images in no part and class folder, left out: {listed}"))
    if not found.unread:
        return notes
    says = "A table that says classes, splits or groups is given itself, an archive unpacked first"
    return [*notes, printable(f"not looked into: {_listed(found.unread)}. {says}")]


def _parts_inside(found: Found) -> list[str]:
    """That folders below the classes are called like parts, or are the same in every class: they
    decide nothing.
    """
    inside: dict[str, set[str]] = {name: set() for name in found.counts}
    for entry in found.entries:
        if entry.id.count("/") > 1 and (folder := entry.id.split("/")[-2]) != entry.label:
            inside[entry.label].add(folder)
    below, common = set.union(*inside.values()), set.intersection(*inside.values())
    kinds = {NAMES[folder.lower()] for folder in below if folder.lower() in NAMES}
    if found.kind == "table" or max(len(kinds), len(common)) < 2:
        return []
    if len(kinds) > 1:
        return [f"folders inside the classes, {few(below)}, decide no part: a table's splits would"]
    return [
        f"folders inside every class, {few(common)}, decide nothing. If they are the classes, give "
        "a table, or move them to the top"
    ]


def _tiny(found: Found) -> list[str]:
    small = [name for name, count in found.counts.items() if sum(count.values()) < TINY]
    if not small:
        return []
    return [printable(f"classes of fewer than {TINY} images, which show little: {_listed(small)}")]


def _uneven(found: Found) -> list[str]:
    """That one class is so frequent that always answering it is right most of the time."""
    sizes = {name: sum(count.values()) for name, count in found.counts.items()}
    most = max(sizes, key=lambda name: sizes[name])
    share = sizes[most] / sum(sizes.values())
    if share < UNEVEN:
        return []
    says = (
        f"{100 * share:.0f} % of the images are of class {most}: always answering it is right as "
        "often"
    )
    return [
        printable(f"{says}. See balanced accuracy, and dvc exp run -S train.class_weights=balanced")
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _glance(
    place: Path, found: Found, values: Params, plan: Plan
) -> tuple[Found, list[str], Path | None]:
    """What is left when the images themselves have been looked at, what is to be said of it, and
    the picture that was drawn.

    Raises:
        ValueError: They cannot be used as the settings are.
    """
    if found.problem:
        raise ValueError(found.problem)
    from ..settings import glance, rehearsal  # numpy and Pillow, for which no other command waits

    dataset, preview, skipped = values.dataset, None, list[Skipped]()
    with glance.reader(place, found, dataset) as read:
        if read is not None:
            found, skipped = glance.usable(read, found, dataset)
        _refuse_few(found, plan, skipped)
        bad = {item.id for item in skipped if item.bad and dataset.on_bad_image == "skip"}
        rehearsal.divide(found, values, bad)
        print(_in_words(plan, found, dataset))
        if read is None:
            return (
                found,
                ["of a tar the pipeline finds duplicates and broken images, when it runs"],
                None,
            )
        twice = glance.refuse_twice(read, found, dataset)
        preview = cache_folder("preview") / f"{plan.name}.png"
        drawn = glance.write_preview(read, found, dataset, preview)
    unusable = {item.id: item for item in [*skipped, *drawn] if item.bad}
    if dataset.on_bad_image == "error":
        checks.refuse_bad(list(unusable.values()), plan.path)
    notes = ["the pipeline finds images that break off, and those that only look the same"]
    if twice.files:
        where = ", in one class and part" if dataset.on_duplicate == "error" else ""
        notes.insert(0, f"files that are the same as another{where}: {twice.files}")
    if not twice.complete:
        notes.append("the pipeline finds large files that are there twice")
    if unusable:
        notes.insert(0, printable(f"cannot be read, left out: {_listed(list(unusable))}"))
    return found, notes, preview


def _write(root: Path, plan: Plan, text: str) -> None:
    """Write all files, of which none is moved into place before all are whole."""
    defaults = compose.with_defaults(text, root)
    files = {**_files(plan), "params.yaml": text, compose.DEFAULTS: defaults}
    with ExitStack() as stack:
        for name, content in files.items():
            path = root / name
            if not path.is_file() or path.read_bytes() != content.encode():
                file = stack.enter_context(atomic(path))
                file.write(content)
                file.flush()
    composed.note(yaml.safe_load(text), root)


def _say_what_next(plan: Plan, preview: Path | None, expected: str) -> None:
    file = f"conf/dataset/{plan.name}.yaml"
    if preview:
        print(f"preview: {printable(preview)}")
    if plan.replaced:
        print(printable(f"{file}: replaced, it was that of {plan.replaced}"))
    else:
        print(f"{file}: {'as it was' if plan.kept else 'written'}, every key with its meaning")
    print(f"{CONFIG}: dataset: {plan.name}; params.yaml is composed")
    print(expected)
    print("Run: dvc repro")
