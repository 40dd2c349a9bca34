"""Compose `conf/` into `params.yaml`, and say what differs.

`dvc exp run` composes too, inside DVC; both find the resolvers below through `conf/hydra_plugins/`,
so both check the whole configuration before anything is touched or queued.
"""

import contextlib
import functools
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..data.archive import local
from ..params.backbone import WORDS, is_address
from ..params.reading import parse, read_params
from ..pipeline.files import write_text
from ..pipeline.places import checkout, from_home, home
from ..pipeline.terminal import message
from .libraries import by_weights, published

logger = logging.getLogger(__name__)

DEFAULTS = "conf/defaults.yaml"
DEFAULTS_SAY = "# What conf/ composes to, as `transferlab compose` left it for the report.\n"
OPTIONS_SAY = "# And what other data sets and backbones say.\n"
GROUPS: Mapping[str, Sequence[str]] = {
    "dataset": ("dataset.path=null", "dataset.path_sha256=null"),
    "backbone": ("backbone.weights_sha256=null",),
}
"""Of which an option is recorded, and what would look at files."""


def register() -> None:
    """Make the resolvers that `conf/` uses known to OmegaConf."""
    from omegaconf import OmegaConf

    for resolver in (check, hash_of_path, hash_of_weights, by_name, watched, published, by_weights):
        OmegaConf.register_new_resolver(
            f"transferlab.{resolver.__name__}", _said(resolver), replace=True
        )


def _said(resolver: Callable[..., Any]) -> Callable[..., Any]:
    """The resolver, whose errors DVC shows as they are: names of files stand in them."""
    from omegaconf.errors import OmegaConfBaseException

    @functools.wraps(resolver)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return resolver(*arguments, **named)
        except OmegaConfBaseException:  # of a resolver that this one asked
            raise
        except ValueError as error:
            raise ValueError(message(error)) from error

    return wrapped


def by_name(names: Sequence[str]) -> Any:
    """Resolver: names as a mapping, because a stage's command may hold nothing but the `${key}` of
    one.
    """
    from omegaconf import OmegaConf

    return OmegaConf.create({name: name for name in names})


def watched(path: str | None, weights: str) -> Any:
    """Resolver: `own` where files of one's own are used; the stage that looks at them runs for
    each.
    """
    own = not (weights in WORDS or is_address(weights))
    return by_name(("own",) if path is not None or own else ())


def check(*, _root_: Any) -> bool:
    """Resolver: check the whole configuration that is being composed."""
    checked_values(_root_)
    return True


def checked_values(root: Any) -> dict[Any, Any]:
    """The whole configuration that is being composed, resolved and checked.

    Raises:
        ValueError: A value is missing, or does not pass the check.
    """
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(root, resolve=False)
    assert isinstance(raw, dict)
    if missing := list(_missing(raw)):
        raise ValueError(
            "\n".join(
                f"conf: {key}: expected a value, found none. Add: -S {key}=..." for key in missing
            )
        )
    # Resolving `checked` itself would call this function again.
    rest = OmegaConf.create({key: value for key, value in raw.items() if key != "checked"})
    values = {"checked": True, **OmegaConf.to_container(rest, resolve=True)}  # type: ignore[dict-item]
    parsed = parse(values, "conf")
    if parsed.engine.device == "cuda" and not _cuda_driver():
        raise ValueError(
            "conf: engine.device: expected a CUDA driver, found none. Use engine.device=auto or "
            "cpu."
        )
    return values


def _missing(raw: Mapping[Any, Any], above: str = "") -> Iterator[str]:
    """Dotted keys of `???`.

    OmegaConf silently turns all that depends on one, the check too, into another.
    """
    for name, value in raw.items():
        if value == "???":
            yield f"{above}{name}"
        elif isinstance(value, Mapping):
            yield from _missing(value, f"{above}{name}.")


def _cuda_driver() -> bool:
    """Whether this machine has an NVIDIA driver, found without torch: its command, its device, or
    WSL's.
    """
    return bool(shutil.which("nvidia-smi")) or any(
        Path(place).exists() for place in ("/dev/nvidiactl", "/dev/dxg")
    )


def hash_of_path(path: str, *, _parent_: Any = None) -> str:
    """Resolver: digest of the user's own images, so that a changed folder is noticed.

    Args:
        path: Of a folder, an archive or a table.
        _parent_: The section that holds it, from OmegaConf; says how a table is read.
    """
    from ..data.archive import pack, table

    found = from_home(path)
    if path and found.exists():
        if not (found.is_file() and table.is_table(found)):
            return pack.folder_sha256(found)
        section = _parent_ or {}
        columns = section.get("columns")
        named = None if columns is None else dict(columns)
        return table.table_sha256(found, named, section.get("images_folder"))
    if recorded := _recorded("dataset", "path", path):
        logger.warning("dataset.path: %s is not here, so its recorded digest is kept.", found)
        return recorded
    raise ValueError(
        f"dataset.path: expected a folder, an archive or a table, found nothing at '{path}'. "
        f"Relative paths count from {home()}."
    )


def hash_of_weights(weights: str) -> str | None:
    """Resolver: sha256 of a weights file of the user's own or of the mirror; None for the words."""
    if weights in WORDS or is_address(weights) or weights.startswith("models:/"):
        return None
    try:
        return local.own_file(weights, sha256=None, key="backbone.weights").sha256
    except local.Absent:
        if recorded := _recorded("backbone", "weights", weights):
            logger.warning("backbone.weights: no file %s here: its digest is kept.", weights)
            return recorded
        raise


def _recorded(section: str, key: str, value: str) -> str | None:
    """The digest that params.yaml has of a file or folder of one's own: a clone without it and a
    disk that is not mounted compose to what was recorded.
    """
    try:
        recorded = read_params(checkout() / "params.yaml")[section]
        digest = recorded[f"{key}_sha256"] if recorded[key] == value else None
    except (ValueError, TypeError, KeyError):
        return None
    return digest if isinstance(digest, str) else None


def compose(overrides: Sequence[str] = (), root: Path | None = None) -> str:
    """The text of `params.yaml` that `conf/` gives, byte for byte what `dvc exp run` writes.

    Args:
        overrides: Hydra overrides, such as `strategy=frozen`.
        root: The checkout whose `conf/` is composed; default: the one this code runs from.

    Raises:
        ValueError: They do not compose, or what they compose to does not pass the check.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register()
    try:
        with initialize_config_dir(str((root or checkout()) / "conf"), version_base=None):
            config = hydra_compose("config", overrides=list(overrides))
        OmegaConf.resolve(config)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if unknown := re.match(r"Could not override '(.+?)'", str(error)):
            added = [
                f"+{item}" if item.startswith(f"{unknown[1]}=") else item for item in overrides
            ]
            if added != list(overrides):
                compose(added, root)  # our own check names the keys that there are
        raise ValueError(composing_problem(error)) from error
    return OmegaConf.to_yaml(config)


def record_defaults(text: str, root: Path) -> None:
    """Write `conf/defaults.yaml`, from which a report says where its parameters differ: it composes
    nothing itself, for `conf/` may be half edited by then.

    Args:
        text: Of `compose` without overrides.
        root: The checkout.
    """
    options = yaml.safe_dump({"options": options_of(root)}, sort_keys=False)
    path, recorded = root / DEFAULTS, f"{DEFAULTS_SAY}{text}{OPTIONS_SAY}{options}"
    if not path.is_file() or path.read_bytes() != recorded.encode():
        write_text(path, recorded)


def with_defaults(text: str, root: Path) -> str:
    """`conf/defaults.yaml` of other defaults, with its options as they were recorded.

    Args:
        text: Of `compose` without overrides.
        root: The checkout.
    """
    path = root / DEFAULTS
    _, say, options = (path.read_text("utf-8") if path.is_file() else "").partition(OPTIONS_SAY)
    return f"{DEFAULTS_SAY}{text}{say}{options}"


def options_of(root: Path) -> dict[str, dict[str, Any]]:
    """What each file of `conf/dataset/` and `conf/backbone/` composes to by itself; one that is
    half written is left out.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    register()
    found: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    with initialize_config_dir(str(root / "conf"), version_base=None):
        for group, unread in GROUPS.items():
            for path in sorted((root / "conf" / group).glob("*.yaml")):
                alone = f"{group}/{path.stem}", list(unread)
                whole = "config", [f"{group}={path.stem}", *unread]
                for name, overrides in (alone, whole):  # a second longer: where it asks for others
                    with contextlib.suppress(
                        HydraException, OmegaConfBaseException, yaml.YAMLError
                    ):
                        section = hydra_compose(name, overrides=overrides)[group]
                        found[group][path.stem] = OmegaConf.to_container(section, resolve=True)
                        break
    return found


def composing_problem(error: Exception) -> str:
    """What went wrong: one line of Hydra's, or the lines of our own check without OmegaConf's
    wrapping.
    """
    text = str(error).split("\n    full_key:")[0].split("\nConfig search path:")[0]
    own = re.match(r"ValueError raised while resolving interpolation: (.*)", text, re.DOTALL)
    return (
        own[1]
        if own
        else "conf: " + " ".join(text.replace(":\n\t", ": ").replace("\n\t", ", ").split())
    )
