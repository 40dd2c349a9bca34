"""Files that are no data set: what each is, by its first bytes, and what to do about it."""

from pathlib import Path

WORKBOOKS = (".xlsx", ".xls", ".ods")
"""Endings of spreadsheets, some of which are zips."""

PACK = "Unpack it, or pack it as zip or tar.gz."
FOLDER = "Give the folder that holds a folder per class."

STARTS = {
    b"7z\xbc\xaf'\x1c": ("a 7z archive", PACK),
    b"Rar!": ("a rar archive", PACK),
    b"BZh": ("a file packed with bzip2", PACK),
    b"\xfd7zXZ": ("a file packed with xz", PACK),
    b"(\xb5/\xfd": ("a file packed with zstd", PACK),
    b"PK\x03\x04": ("a zip that breaks off", "Copy or download it again."),
    b"\x1f\x8b": ("a file packed with gzip that holds no whole tar", PACK),
    b"\xff\xd8\xff": ("a single image", FOLDER),
    b"\x89PNG": ("a single image", FOLDER),
}


def refusal(path: Path) -> str:
    """Why what stands at a path is no data set."""
    what, advice = _another(path) if path.exists() else ("nothing", "")
    return (
        "dataset.path: expected a folder, a zip, tar or tar.gz, or a CSV or Parquet table, found "
        f"{what} at {path}. {advice}"
    ).strip()


def _another(path: Path) -> tuple[str, str]:
    if path.suffix.lower() in WORKBOOKS:
        return "a spreadsheet", "Save it as CSV in UTF-8, and give that."
    if not path.is_file():
        return "neither a file nor a folder", ""
    with path.open("rb") as file:
        start = file.read(8)
    known = (found for begin, found in STARTS.items() if start.startswith(begin))
    return next(known, ("another file", "A table has the ending .csv, .tsv or .parquet."))
