"""DVC's cache with damaged objects and with links: what DVC does of itself, and where it trusts."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from repository import TWO, Repository, ran

from transferlab.commands.doctor import content
from transferlab.pipeline.files import file_hash

pytestmark = pytest.mark.drill

CACHE = ".dvc/cache/files/md5"
TABLE, MANIFEST = "data/splits/validation.csv", "data/processed/train/manifest.csv"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """All stages ahead of the training are done."""
    made = Repository(tmp_path_factory.mktemp("repository"))
    made("dvc", "repro", "precision", "split")
    return made


def damaged(repository: Repository, name: str, mode: int) -> str:
    """Change one label or cell in the cache's copy of a file, and let DVC hand it out.

    Returns:
        The md5 of the whole file.
    """
    path = repository.root / name
    md5 = file_hash(path, "md5")
    kept = repository.root / CACHE / md5[:2] / md5[2:]
    text = kept.read_text()
    kept.chmod(0o644)
    kept.write_text(text.replace("dots,fit", "dots,fiT").replace(",dots,", ",stripes,", 1))
    kept.chmod(mode)
    output = path if name == TABLE else path.parent
    output.unlink() if output.is_file() else shutil.rmtree(output)
    return md5


@pytest.mark.parametrize(
    ("name", "maker", "user"),
    [(TABLE, "split", "train@scratch"), (MANIFEST, "preprocess", "split")],
)
def test_a_damaged_object_that_dvc_trusts_is_refused_and_the_line_mends_it(
    prepared: Repository, name: str, maker: str, user: str
) -> None:
    md5 = damaged(prepared, name, 0o444)
    prepared("dvc", "checkout", TABLE, "data/processed/train")
    assert "modified" not in prepared("dvc", "status", maker)
    assert file_hash(prepared.root / name, "md5") != md5
    use = ("dvc", "repro", "--single-item", "--force", user)
    output = prepared(*use, fails=True)
    (line,) = re.findall(r"error: (.*)", output)
    assert line.startswith(f"{name}: expected the bytes that dvc.lock records, got others. Run: ")
    prepared("sh", "-c", line.partition("Run: ")[2])
    assert file_hash(prepared.root / name, "md5") == md5
    assert content.damaged_cache(prepared.root / CACHE) == []
    prepared(*use)


def test_a_damaged_object_that_is_writable_is_made_again_by_dvc(prepared: Repository) -> None:
    md5 = damaged(prepared, TABLE, 0o644)
    assert ran(prepared("dvc", "repro", "split")) == ["split"]
    assert file_hash(prepared.root / TABLE, "md5") == md5
    assert content.damaged_cache(prepared.root / CACHE) == []


def test_links_into_the_cache_are_never_written_through(prepared: Repository) -> None:
    """Root writes to read-only files too, unless it gives the right up."""
    own = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    if shutil.which("setpriv") is None or subprocess.run([*own, "true"], check=False).returncode:
        pytest.skip("giving rights up takes util-linux")
    prepared("dvc", "config", "--local", "cache.type", "hardlink")
    prepared("dvc", "checkout", "--relink", TABLE)
    table = prepared.root / TABLE
    assert table.stat().st_nlink == 2
    for seeds in ("[0,1,2]", "[0,1]"):
        prepared.compose(*TWO, f"seeds={seeds}")
        assert ran(prepared(*own, "dvc", "repro", "split", "--force", "--no-run-cache"))
        assert linked(table, prepared.root / CACHE)
        assert content.damaged_cache(prepared.root / CACHE) == []
    prepared("dvc", "config", "--local", "--unset", "cache.type")


def linked(file: Path, cache: Path) -> bool:
    """Whether a file is an object of the cache."""
    md5 = file_hash(file, "md5")
    return file.samefile(cache / md5[:2] / md5[2:])
