"""From `transferlab init` to a report: folders, archives and tables as people have them."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from archives import grain, photographs
from called import said
from checkout import ROOT
from small import stage

from transferlab.params.reading import parse
from transferlab.settings import compose

pytestmark = pytest.mark.slow

SMALL = ["backbone=tiny", "backbone.weights=none", "strategy=probe", "strategies.probe.folds=2"]
SMALL += [f"backbone.preprocessing.{key}=32" for key in ("resize_px", "crop_px")]
SMALL += ["dataset.store_px=32", "seeds=[0]", "engine.threads=1", "engine.device=cpu"]

BEFORE = ("watch", "download", "weights", "preprocess", "split", "precision")
BEHIND = ("controls", "compare", "champion", "report")


def parts_in_any_case(folder: Path) -> str:
    for first, (part, count) in enumerate((("Train", 5), ("valid", 2), ("TEST", 2)), 1):
        photographs(folder / part, count)
        for number, file in enumerate(sorted((folder / part).rglob("*.png"))):
            file.write_bytes(grain(1000 * first + number))
    return "set"


def windows_zip(folder: Path) -> str:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for file in sorted(photographs(folder).rglob("*.png")):
            entry = zipfile.ZipInfo("x")
            entry.filename = f"Vögel\\{file.parent.name}\\{file.name}"
            entry.create_system = 0
            archive.writestr(entry, file.read_bytes())
    shutil.rmtree(folder)
    return "set.zip"


def table_with_groups(folder: Path) -> str:
    files = sorted(photographs(folder / "a,b; 'c'", 6).rglob("*.png"))
    rows = [
        f'"{file.relative_to(folder)}";"{file.parent.name}";{i // 2}'
        for i, file in enumerate(files)
    ]
    (folder / "x=y.csv").write_text(
        "Image;Label;Patient\r\n" + "".join(f"{row}\r\n" for row in rows)
    )
    return "set/x=y.csv"


@pytest.mark.parametrize(
    ("fill", "name", "tested"),
    [
        pytest.param(parts_in_any_case, "set", 4, marks=pytest.mark.drill),
        pytest.param(windows_zip, "set", 4, marks=pytest.mark.drill),
        (table_with_groups, "x_y", 4),
    ],
)
def test_images_as_people_have_them_end_in_a_report_of_their_name(
    own: Path,
    fill: Callable[[Path], str],
    name: str,
    tested: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every stage's own work, one after the other in this process."""
    monkeypatch.setenv("TRANSFERLAB_TRACKING", "off")
    for code in ("dvc.yaml", "src", "stages"):
        (own / code).symlink_to(ROOT / code)
    assert said(capsys, "init", fill(own.parent / "set"))[-1] == "Run: dvc repro"
    params = parse(yaml.safe_load(compose.compose(SMALL, own)))
    for script in BEFORE:
        stage(script)(own, params, "")
    for script in ("train", "evaluate"):
        stage(script)(own, params, "probe")
    for script in BEHIND:
        stage(script)(own, params, "")
    report = (own / "reports/report.md").read_text()
    assert report.startswith(f"# `probe` on {name}, tiny\n")
    assert f"of the {tested} held-out test images" in report
