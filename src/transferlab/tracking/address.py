"""Where MLflow is: its address, what is needed to get in, and how its errors are told."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from ..pipeline.places import from_home, home


def take_settings() -> None:
    """Take MLflow's settings from `.env` of the user's repository where the environment has none.

    So that a queued experiment, whose worker keeps the environment of its own start, finds
    credentials that were set later.

    Raises:
        ValueError: the file is no text.
    """
    file = home() / ".env"
    try:
        values = dotenv_values(file)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: expected UTF-8 text, got something else. Save it as UTF-8."
        ) from error
    for name, value in values.items():
        if name.startswith("MLFLOW_") and value:
            os.environ.setdefault(name, value)


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else mlflow.db in the user's repository; a local file is always given
    absolutely.

    Raises:
        ValueError: the file's path holds a character that no SQLite address can carry.
    """
    take_settings()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    database = database_of(uri or "sqlite:///mlflow.db")
    if database is None:
        return uri
    if found := set("%?") & set(str(database)):
        raise ValueError(
            f"{database}: expected a path without % and ? for MLflow's database, got "
            f"{' and '.join(sorted(found))}. "
            "Rename the folder, or set MLFLOW_TRACKING_URI."
        )
    return f"sqlite:///{database}"


def database_of(uri: str) -> Path | None:
    """The file behind a SQLite address, relative ones counted from the repository; None for all
    other addresses.
    """
    if not uri.startswith("sqlite:///") or "?" in uri or uri.endswith(":memory:"):
        return None
    return from_home(uri.removeprefix("sqlite:///"))


def in_one_line(error: Exception) -> str:
    """An error in one line that shows no password and does nothing to a terminal."""
    words = without_password(str(error) or type(error).__name__).split()
    text = "".join(char if char.isprintable() else "?" for char in " ".join(words))
    return text if len(text) <= 400 else f"{text[:400]}..."


def without_password(text: str) -> str:
    """A text without what stands before the @ in the server's address."""
    user, at, _ = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", "")).netloc.rpartition("@")
    return text.replace(user + at, "") if user else text
