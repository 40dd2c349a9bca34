"""What a weights file is, by its bytes and never by its name, and what is in it; never a pickle."""

import pickletools
import re
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

FEW = 3  # names in a message

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled

SAFETENSORS = re.compile(rb".{5}\x00{3}\{", re.DOTALL)  # a header's length, the header

AGAIN = "Fetch the file again."

UNPACK = "Unpack it and name the file inside."

EXPORT = "Export the network's tensors: torch.save(model.state_dict(), 'weights.pth')."

FOREIGN = (
    (rb"\s*\Z", "an empty file", AGAIN),
    (rb"\x00+\Z", "nothing but zeros", AGAIN),
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)",
        "a web page",
        "Fetch the file again, logged in if need be.",
    ),
    (
        rb"version https://git-lfs",
        "a git-lfs pointer to the file",
        "Fetch the file itself: git lfs pull.",
    ),
    (
        rb"(/|\S{0,20}\.git/)annex/",
        "a git-annex pointer to the file",
        "Fetch the file itself: git annex get.",
    ),
    (rb"\x89HDF", "an HDF5 file, as Keras writes it", EXPORT),
    (rb".{4}TFL3", "a TensorFlow Lite model", EXPORT),
    (rb"\x08[\x01-\x20]\x12.(pytorch|tf2onnx|onnx)", "an ONNX model", EXPORT),
    (rb"GGUF", "a GGUF file", EXPORT),
    (rb"\x93NUMPY", "a NumPy array", EXPORT),
    (rb"\x89PNG|\xff\xd8\xff", "an image", AGAIN),
    (
        rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd|.{257}ustar",
        "a packed archive",
        UNPACK,
    ),
    (rb"\x80", "a pickle that torch.save did not write, refused always", EXPORT),
)
"""How files of other kinds begin, what they are, and what to do."""


def content_of(path: Path, title: str) -> Any:
    """Whatever the file holds, by its bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if SAFETENSORS.match(start):
        return _safetensors(path, title)
    if start.startswith(b"PK\x03\x04"):
        _require_torch(path, title)
    elif not start.startswith(LEGACY):
        raise refusal(title, *_foreign(start))
    return _unpickled(path, title)


def refusal(title: str, what: str, advice: str) -> ValueError:
    """The error about a file, in one line."""
    return ValueError(
        f"{title}: expected a state dict (of torch.save or safetensors), got {what}. {advice}"
    )


def _foreign(start: bytes) -> tuple[str, str]:
    """What a file that begins so is, and what to do."""
    for pattern, what, advice in FOREIGN:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return what, advice
    text = " ".join(start.decode(errors="replace").split())
    if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text[:-1]:
        return f"a text that begins with {text[:40]!r}", AGAIN
    return "bytes of no format that is known here", EXPORT


def _safetensors(path: Path, title: str) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = load_file(path)
        return found
    except SafetensorError as error:
        raise refusal(
            title, f"a damaged or truncated safetensors file ({_line(error)})", AGAIN
        ) from error


def _require_torch(path: Path, title: str) -> None:
    """Refuse zips that `torch.save` did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise refusal(title, "a truncated or damaged file: a zip without its end", AGAIN) from error
    if "constants.pkl" in names:
        export = f"torch.save(torch.jit.load('{title}').state_dict(), 'weights.pth')"
        raise refusal(
            title, "a TorchScript archive, a program with its tensors", f"Export these: {export}."
        )
    if "archive_format" in names:
        export = f"torch.save(torch.export.load('{title}').state_dict, 'weights.pth')"
        raise refusal(title, "an archive of torch.export", f"Export its tensors: {export}.")
    if "data.pkl" not in names:
        raise refusal(title, f"a zip of other files ({few(names)})", UNPACK)


def _unpickled(path: Path, title: str) -> Any:
    try:
        # Warnings tell of unusual pickles: what comes of them is said below. Of a path, torch would
        # look at the name.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise refusal(title, *_refused(path, title, error)) from error


def _refused(path: Path, title: str, error: Exception) -> tuple[str, str]:
    """What a file is that `weights_only` refuses, and what to do."""
    load = f"torch.load('{title}', weights_only=False)"
    trusted = "Only where you trust it, for that runs whatever code is in it:"
    first, refused = _first_global(path), re.search(r"GLOBAL (\S+) was not an allowed", str(error))
    if first and not first.startswith(("collections.", "torch._utils.")):
        export = f"torch.save({load}.state_dict(), 'weights.pth')"
        return (
            f"a pickled object of {first}, as whole models are, refused always",
            f"{trusted} {export}.",
        )
    if refused:
        export = f"save its state dict alone, torch.save({load}['state_dict'], 'weights.pth')"
        return (
            f"a pickle that holds more than tensors ({refused[1][:80]}), refused always",
            f"{trusted} {export}.",
        )
    if "weights_only" in str(error):
        return (
            f"a pickle that is no plain state dict ({_unpickling_problem(error)}), refused always",
            EXPORT,
        )
    return f"a damaged or truncated file ({_line(error)})", AGAIN


def _first_global(path: Path) -> str | None:
    """The class that a pickle opens with, found without running it; None where that is a dict."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                return _opening(pickletools.genops(archive.read(name)))
        with path.open("rb") as file:
            for _ in range(3):  # torch's magic number, protocol and system stand before the object
                deque(pickletools.genops(file), maxlen=0)
            return _opening(pickletools.genops(file))
    except Exception:  # this only finds words for a refusal
        return None


def _opening(operations: Iterator[tuple[Any, Any, Any]]) -> str | None:
    texts: list[str] = []
    for operation, argument, _ in operations:
        if operation.name == "GLOBAL":
            return str(argument).replace(" ", ".")[:80]
        if operation.name == "STACK_GLOBAL":
            return ".".join(texts[-2:])[:80]
        if "UNICODE" in operation.name:
            texts.append(str(argument))
        elif operation.name not in ("PROTO", "FRAME", "MARK", "MEMOIZE", "BINPUT"):
            return None
    return None


def _unpickling_problem(error: Exception) -> str:
    """What torch's unpickler stumbled over, without its advice to load the file all the same."""
    found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    return found[1][:80].rstrip(". ") if found else type(error).__name__


def _line(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return re.split(r"\. ", words)[0][:120].rstrip(".")


def few(names: Sequence[str]) -> str:
    """The first names; a file's own names are quoted and cut, so that they stay in the line."""
    more = [f"{len(names) - FEW} more"] if len(names) > FEW else []
    return ", ".join([*map(quoted, names[:FEW]), *more])


def quoted(text: str) -> str:
    """A text of the file's, in quotes and no line of its own."""
    return repr(text if len(text) <= 100 else f"{text[:97]}...")
