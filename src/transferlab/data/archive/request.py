"""What is asked for, what comes of it, and what stops it."""

import errno
import logging
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...pipeline import files

logger = logging.getLogger(__name__)

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What is known about a file that is now on disk."""

    # in the downloads cache, named by its sha256; for a file of the user's own, the file itself
    path: Path
    origin: str  # address or path it came from; 'mirror' for the mirror, wherever that is
    sha256: str
    # "sha256" | "sha1" | "hash suffix" | "contents" | "first use" | "path" (a file of the user's
    # own)
    verified_by: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a download may hold, packed and unpacked; the user's to raise."""

    max_total_mb: int
    max_ratio: int = 200  # unpacked bytes of a file over its packed ones
    total_key: str  # what raises the first
    ratio_key: str = ""

    def total_exceeded(self, what: str) -> str:
        """The message about something larger."""
        return (
            f"{what}: expected at most {self.total_key}={self.max_total_mb} MB, got more. Raise "
            f"{self.total_key} if you trust it."
        )

    def ratio_exceeded(self, what: str, name: str) -> str:
        """The message about a file that is packed too tightly to be an image."""
        return (
            f"{what}: expected files packed at most {self.ratio_key}={self.max_ratio} times "
            f"smaller, got {name!r}. Raise {self.ratio_key} if you trust it."
        )


class TooMuch(ValueError):
    """What the limits do not allow."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for and how it will be recognised; the strongest digest decides."""

    url: str
    name: str  # what the file is called in a mirror
    sha256: str | None
    sha1: str | None
    sha256_prefix: str | None
    contents_sha256: str | None
    first_use: str | None  # the sha256 that was recorded when this address was first used
    key: str
    url_key: str
    limits: Limits

    @property
    def suffix(self) -> str:
        """The ending of the file's name."""
        suffix = PurePosixPath(self.name).suffix
        return suffix if re.fullmatch(r"\.\w{1,12}", suffix, re.ASCII) else ""

    @property
    def digests(self) -> tuple[str | None, ...]:
        """All that are known of the file."""
        return self.sha256, self.sha1, self.sha256_prefix, self.contents_sha256, self.first_use

    @property
    def has_digest(self) -> bool:
        """Whether any is."""
        return any(self.digests)

    @property
    def identity(self) -> str:
        """What the file is kept under."""
        return files.content_hash([self.url, *self.digests])


class Refused(Exception):
    """This source will not give the file: what happened, and what a person can do about it."""

    def __init__(self, what: str, advice: str):
        super().__init__(what)
        self.advice = advice


class Broken(Exception):
    """One try went wrong in a way that another may not."""


def suffix_of(name: str) -> str | None:
    """The digits that published weights carry at the end of their names: resnet18-f37072fd.pth."""
    found = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$", name)
    return found[1] if found else None
