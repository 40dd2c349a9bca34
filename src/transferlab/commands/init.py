"""The command that makes a person's own images the checkout's data set."""

import shutil
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from ..params.reading import parse
from ..params.whole import Params
from ..pipeline.files import atomic
from ..pipeline.places import cache_folder, checkout, from_home
from ..pipeline.terminal import printable
from ..settings import at_work, compose, composed, dataset_file
from ..settings.cost import expectation
from ..settings.look import Found, look_at

CONFIG = "conf/config.yaml"

TINY = 20
"""Images of a class below which a report hardly tells strategies apart."""

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
        "path", metavar="PATH", help="folder, zip, tar, or table; after -- if it begins with a -"
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
        path: Of a folder, a zip, tar or tar.gz, or a CSV or Parquet table.
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
    values = parse(yaml.safe_load(_composed(root, plan, UNHASHED)), "conf")
    place = from_home(plan.path)
    _expect_spoken_of(values, plan)
    found = look_at(place, values.dataset)
    _refuse(found, values)
    print(_in_words(plan, found))
    notes, preview = _glance(place, found, values, plan.name)
    for note in [*_tiny(found), *notes]:
        print(note)
    if not plan.kept:
        text = dataset_file.described(values.dataset, found, given)
        plan = Plan(**{**vars(plan), "dataset": text})
    if found.megabytes > LARGE_MB:
        print("reading every file once, for the digest that tells when one changes", flush=True)
    _write(root, plan, _composed(root, plan))
    _say_what_next(plan, preview, expectation(values, _training_images(found, values)))


def _plan(
    root: Path,
    path: str,
    wanted: str | None,
    given: Mapping[str, object],
    *,
    force: bool,
) -> Plan:
    name = dataset_file.name_of(from_home(path), wanted)
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
    spoken_of = values.dataset.path
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


def _refuse(found: Found, values: Params) -> None:
    """Refuse images that the pipeline would.

    Raises:
        ValueError: It would.
    """
    if found.problem:
        settings = " Settings go behind this command, too." if "-S " in found.problem else ""
        raise ValueError(f"{found.problem}{settings}")
    asked = found.kind == "table" or not found.parts.get("validation")
    for name, count in found.counts.items():
        train = count.get("train", 0) - found.drawn
        if asked and train < LEAST:
            raise ValueError(
                f"{values.dataset.path}: expected at least {LEAST} training images of class "
                f"{name!r}{', and one to test on' if found.drawn else ''}, got "
                f"{count.get('train', 0)}. Add images, or name the classes to use: -S "
                "'dataset.classes=[...]'."
            )


def _in_words(plan: Plan, found: Found) -> str:
    """What is there: a line of sums, one of parts, and one for each class."""
    sums: Counter[str] = Counter()
    for count in found.counts.values():
        sums.update(count)
    parts = ", ".join(f"{number} {part}" for part, number in sums.items())
    lines = [
        f"{plan.path}: a {found.kind} of {sum(sums.values())} images in {len(found.counts)} "
        f"classes, {found.megabytes:.1f} MB ({parts})"
    ]
    told = [f"{folder} is the {part} part" for part, folder in found.parts.items() if folder]
    if found.drawn:
        told.append("the test images are drawn from every class")
    if found.groups:
        told.append(f"{found.groups} groups stay undivided")
    lines += [", ".join(told)] if told else []
    if found.ignored:
        kinds = ", ".join(f"{number} {kind}" for kind, number in found.ignored.items())
        lines.append(f"left out: {kinds}")
    lines += [f"  {name}: {_of_parts(count)}" for name, count in list(found.counts.items())[:30]]
    if len(found.counts) > 30:
        lines.append(f"  and {len(found.counts) - 30} more classes")
    return "\n".join(map(printable, lines))


def _of_parts(count: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {part}" for part, number in count.items())


def _tiny(found: Found) -> list[str]:
    small = [name for name, count in found.counts.items() if sum(count.values()) < TINY]
    if not small:
        return []
    listed = ", ".join(small[:5]) + (f" and {len(small) - 5} more" if len(small) > 5 else "")
    return [printable(f"fewer than {TINY} images, which show little: {listed}")]


def _glance(place: Path, found: Found, values: Params, name: str) -> tuple[list[str], Path | None]:
    """What the images themselves tell in seconds, and the picture that was drawn of them."""
    from ..settings import glance  # numpy and Pillow, which no other command shall wait for

    notes = ["left to the pipeline: broken images, and what looks the same without being so"]
    with glance.reader(place, found, values.dataset) as read:
        if read is None:
            return ["left to the pipeline, as in any tar: duplicates and broken images"], None
        twice = glance.refuse_twice(read, found, values.dataset)
        preview = cache_folder("preview") / f"{name}.png"
        bad = glance.write_preview(read, found, values.dataset, preview)
    if twice.files:
        notes.insert(0, f"the same file again, in one class and part: {twice.files}")
    if not twice.complete:
        notes.append("left to the pipeline: large files that may be there twice")
    if bad:
        listed = ", ".join(bad[:3])
        what = (
            "the pipeline stops at them" if values.dataset.on_bad_image == "error" else "left out"
        )
        notes.insert(0, f"cannot be read, {what}: {listed}, and perhaps more")
    return notes, preview


def _training_images(found: Found, values: Params) -> int:
    count = sum(count.get("train", 0) for count in found.counts.values())
    return round(count * (1 - (values.dataset.test_fraction or 0))) if found.drawn else count


def _write(root: Path, plan: Plan, text: str) -> None:
    """Write all files, of which none is moved into place before all are whole."""
    files = {**_files(plan), "params.yaml": text, compose.DEFAULTS: f"{compose.DEFAULTS_SAY}{text}"}
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
