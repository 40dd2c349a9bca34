"""A file of `conf/dataset/` for a person's own images, and the line that makes it the checkout's.

Paths and names go into it as YAML, so that no shell and no grammar of Hydra ever reads them.
"""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..data.ingest.advice import WORDS
from ..params.dataset import Dataset
from ..params.record import plain
from ..pipeline.places import from_home, home
from ..pipeline.terminal import printable
from .look import Found

ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip", ".csv", ".tsv", ".parquet")

NAMES = ("train_folder", "validation_folder", "test_folder", "images_folder", "zip_encoding")
"""Keys whose values are taken as they are, whatever signs they hold."""

SAYS: Mapping[str, str] = {
    "name": "reports, titles and errors carry it",
    "path": "relative paths count from the repository",
    "url": "of the archive; a copy is kept in the cache",
    "sha256": "of the archive, as it was when it was first seen",
    "columns": "of the table; auto: the usual names; null: the table says nothing of it",
    "images_folder": "that the table's paths count from; null: the folder of the table",
    "zip_encoding": "of names in the zip that do not say it, such as cp850",
    "labels": "folders, or names: the class stands in the file's name, as in cat.12.jpg",
    "classes": "to use, in this order; null: all",
    "train_folder": "auto: told by its name; null: class folders at the top",
    "validation_folder": "auto, its name, or null: there is none",
    "test_folder": "auto, its name, or null: there is none",
    "validation": "use: every seed validates on that folder; join it to training; or ignore it",
    "test_fraction": "of every class, held out where there is no test folder",
    "store_px": "shorter side of the images that are kept",
    "on_bad_image": "error, or skip: it is left out and listed",
    "on_duplicate": "of the same image in two classes, or in train and test: error, or allow",
}
"""What a file says of each key; those of tables and zips only where they matter."""

ONLY = {"columns": "table", "images_folder": "table", "zip_encoding": "zip"}

OF_ADDRESS = ("url", "sha256")
"""Keys of images that come from an address, in place of `path`."""


def is_address(given: str) -> bool:
    """Whether a person gave an address, and no path."""
    return re.match("https?://", given, re.IGNORECASE) is not None


def name_of(path: Path, wanted: str | None) -> str:
    """What a data set is called: as wanted, or after its folder or file.

    Raises:
        ValueError: The wanted name cannot be one.
    """
    if wanted is None:
        return _derived(path)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", wanted) or wanted in WORDS:
        raise ValueError(
            "--name: expected up to 60 small letters, digits and _, a letter first, got "
            f"{wanted!r}. Try: --name {_derived(Path(wanted))}"
        )
    return wanted


def _derived(path: Path) -> str:
    word = Path(os.path.abspath(path)).name
    ending = next((end for end in ENDINGS if word.lower().endswith(end)), "")
    folded = unicodedata.normalize("NFKD", word[: len(word) - len(ending)].replace("ß", "ss"))
    plain_letters = "".join(letter for letter in folded if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "_", plain_letters.lower()).strip("_")
    if not name:
        return "images"
    return (name if name[0].isalpha() and name not in WORDS else f"images_{name}")[:60]


def stored_path(given: str) -> str:
    """A path as `conf/` has it, of one that a person gave on a command line.

    Relative ones count from where the person stands, and in `conf/` from the repository.

    Raises:
        ValueError: Nothing is there, or its name is no text.
    """
    if is_address(given):
        return given
    known = given if os.path.lexists(given) else os.path.expanduser(given)
    path = os.path.abspath(known)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{given!r}: expected a name in UTF-8, got other bytes. Rename it."
        ) from None
    if not given or not os.path.exists(path):
        raise ValueError(
            f"{given}: expected a folder, an archive or a table of images, found nothing at {path}."
        )
    if os.path.isabs(known):
        return path
    relative = os.path.relpath(path, home())
    # What `from_home` would expand, and what OmegaConf takes for a missing value
    return path if relative.startswith("~") or relative == "???" else relative


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings of the data set as `-S` gives them, by key.

    Raises:
        ValueError: One is none, or is not for a file of the data set.
    """
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        first, *rest = key.removeprefix("dataset.").split(".")
        if not equals or not key.startswith("dataset.") or first in ("name", "path"):
            raise ValueError(
                f"-S {word}: expected dataset.KEY=VALUE, such as dataset.labels=names. The path "
                "stands by itself, the name after --name."
            )
        if rest:
            settings.setdefault(first, {})[rest[0]] = _value(value, True)
        else:
            settings[first] = _value(value, first in NAMES)
    return settings


def _value(text: str, as_it_is: bool) -> Any:
    if as_it_is:
        return None if text == "null" else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def draft(name: str, path: str, settings: Mapping[str, Any]) -> str:
    """The file without a word about anything: enough to compose."""
    place = {"url": path, "path": None, "path_sha256": None} if is_address(path) else {"path": path}
    values = {"name": name, **place, **settings}
    lines = [f"{key}: {in_yaml(value)}\n" for key, value in values.items()]
    return "".join(["defaults: [folder, _self_]\n", *lines])


def described(dataset: Dataset, found: Found, settings: Mapping[str, Any]) -> str:
    """The file with what was found, and a comment for each key.

    Args:
        dataset: As the draft composes.
        found: What is there.
        settings: That were given, among them perhaps some that files leave out.
    """
    other = OF_ADDRESS if dataset.url is None else ("path",)
    keys = [key for key in SAYS if ONLY.get(key, found.kind) == found.kind and key not in other]
    fixed = (
        ""
        if dataset.url is None
        else "path: null # the images come from url\npath_sha256: null # as does this\n"
    )
    lines = [f"# Written by `transferlab init`, for a {found.kind}; yours to edit.\n"]
    lines += ["defaults: [folder, _self_] # conf/dataset/folder.yaml says the rest\n"]
    for key in [*keys, *(key for key in settings if key not in keys)]:
        value = plain(getattr(dataset, key)) if key in SAYS else settings[key]
        says = f"{SAYS.get(key, 'as it was given')}{_found_of(key, found)}"
        lines.append(f"{key}: {in_yaml(value)} # {says}\n")
    return "".join([*lines, fixed])


def _found_of(key: str, found: Found) -> str:
    if key == "classes":
        names = ", ".join(list(found.counts)[:5]) + (", ..." if len(found.counts) > 5 else "")
        return printable(f". Found {len(found.counts)}: {names}")
    part = key.removesuffix("_folder")
    return printable(f". Found: {found.parts[part]}") if found.parts.get(part) else ""


def in_yaml(value: Any) -> str:
    """A value in one line of YAML, which OmegaConf reads as it is."""
    bare = not isinstance(value, str) or re.fullmatch("[a-z][a-z0-9_]*", value)
    text = yaml.safe_dump(
        _escaped(value),
        allow_unicode=True,
        default_flow_style=True,
        default_style=None if bare else '"',
        sort_keys=False,
        width=10**9,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _escaped(value: Any) -> Any:
    """Without interpolations: OmegaConf halves the backslashes ahead of a `${`."""
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: f"{found[1]}{found[1]}\\${{", value)
    return value


def path_in(file: Path) -> str | None:
    """The path that a file of `conf/dataset/` sets; None where it is not one of a person's own.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"{file}: expected YAML, got something else. Mend or remove it."
        ) from error
    path = (values.get("path") or values.get("url")) if isinstance(values, dict) else None
    if not isinstance(path, str) or path == "???":
        return None
    return re.sub(r"((?:\\\\)*)\\\$\{", lambda found: f"{found[1][: len(found[1]) // 2]}${{", path)


def same_place(one: str, other: str) -> bool:
    """Whether two paths of `conf/` lead to the same images."""
    if is_address(one) or is_address(other):
        return one == other
    return os.path.realpath(from_home(one)) == os.path.realpath(from_home(other))


def with_dataset(config: str, name: str) -> str:
    """The text of conf/config.yaml with another data set, and every other byte as it was.

    Raises:
        ValueError: Its defaults list has not one plain entry of it.
    """
    entries = re.compile(r"(?m)^([ \t]*-[ \t]+[\"']?dataset[\"']?[ \t]*:[ \t]*)([^\s#]+)")
    found = entries.findall(config)
    edited = entries.sub(lambda entry: f"{entry[1]}{name}", config)
    if len(found) != 1 or {"dataset": name} not in _defaults(edited):
        raise ValueError(
            "conf/config.yaml: expected one line `- dataset: NAME` in its defaults, found "
            f"{len(found)}. Write it: - dataset: {name}"
        )
    return edited


def _defaults(config: str) -> Sequence[Any]:
    try:
        values = yaml.safe_load(config)
    except yaml.YAMLError as error:
        raise ValueError("conf/config.yaml: expected YAML, got something else.") from error
    defaults = values.get("defaults") if isinstance(values, dict) else None
    return defaults if isinstance(defaults, list) else []
