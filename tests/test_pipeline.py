"""`dvc.yaml`, `params.yaml` and `conf/` against the code: the pipeline cannot lie about what
depends on what.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from transferlab.params.learning.recipe import Sections
from transferlab.settings import compose

PACKAGE = ROOT / "src" / "transferlab"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = ["watch", "download", "weights", "preprocess", "split", "precision", "train", "evaluate"]
NAMES += ["controls", "cross_validate", "learning_curve", "compare", "champion"]
NAMES += ["report", "track"]
SECTIONS = [
    "dataset",
    "backbone",
    "seeds",
    "train",
    "engine",
    "strategies",
    "evaluate",
    "cross_validation",
]
SECTIONS += ["learning_curve", "compare", "champion", "tuning", "images_per_class"]


def declared(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


@cache
def imported(path: Path) -> set[Path]:
    """The project's modules that a file imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= named_by(node, path)
        elif isinstance(node, ast.Import):
            own = [alias.name for alias in node.names if alias.name.startswith("transferlab")]
            assert not own, f"{path}: use: from {own[0]} import"
    return found


def named_by(node: ast.ImportFrom, path: Path) -> set[Path]:
    """The project's modules that one `from ... import` names."""
    words = (node.module or "").split(".")
    if node.level:
        folder = path.parents[node.level - 1].joinpath(*filter(None, words))
    elif words[0] == "transferlab":
        folder = PACKAGE.joinpath(*words[1:])
    else:
        return set()
    if folder.with_suffix(".py").is_file():
        return {folder.with_suffix(".py")}
    modules = {folder / f"{alias.name}.py" for alias in node.names}
    assert all(module.is_file() for module in modules), (
        f"{path} imports from {folder}, which holds no code"
    )
    return modules


@cache
def modules() -> set[Path]:
    """All of the package but the rooms' own descriptions."""
    return {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}


CHECK = {PACKAGE / "params/whole.py", PACKAGE / "params/reading.py"}
"""The one exemption: every stage checks the whole file, and computes with none of the check."""


def reached(stage: str) -> set[Path]:
    """What a stage's script imports, directly or not, but for the check of the whole file."""
    found: set[Path] = set()
    waiting = imported(ROOT / f"stages/{stage}.py") - CHECK
    while waiting:
        found |= waiting
        waiting = {module for path in waiting for module in imported(path)} - found - CHECK
    return found


def rooms(modules_reached: set[Path]) -> list[str]:
    """A folder where all of it is reached, else files: what `dvc.yaml` lists."""
    whole = [folder for folder in folders() if inside(folder) <= modules_reached]
    whole = [folder for folder in whole if not set(folder.parents) & set(whole)]
    single = [path for path in modules_reached if not set(path.parents) & set(whole)]
    return sorted(str(path.relative_to(ROOT)) for path in [*whole, *single])


def folders() -> list[Path]:
    return sorted({path.parent for path in modules()} - {PACKAGE})


def inside(folder: Path) -> set[Path]:
    return {path for path in modules() if folder in path.parents}


def test_stages_stand_in_reading_order_and_each_has_a_script_and_a_description() -> None:
    assert list(STAGES) == NAMES
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(NAMES)
    assert all(declared(stage)["desc"] for stage in NAMES)


def test_rooms_say_what_they_are_and_do_nothing() -> None:
    described = sorted(PACKAGE.rglob("__init__.py"))
    assert {path.parent for path in described} == {PACKAGE, *folders()}
    for path in described:
        text, *rest = ast.parse(path.read_text()).body
        assert isinstance(text, ast.Expr)
        names = [statement.name for statement in rest if isinstance(statement, ast.FunctionDef)]
        assert names == (["__getattr__"] if path.parent == PACKAGE else [])
        assert len(names) == len(rest)


def test_no_room_holds_a_single_module() -> None:
    assert not [folder for folder in folders() if len(inside(folder)) < 2]


@pytest.mark.parametrize("stage", NAMES)
def test_stage_lists_exactly_the_modules_that_its_script_imports(stage: str) -> None:
    listed = [item for item in declared(stage)["deps"] if item.startswith("src/")]
    assert listed == rooms(reached(stage))
    assert f"stages/{stage}.py" in declared(stage)["deps"]


@pytest.mark.parametrize("stage", NAMES)
def test_stage_lists_exactly_the_parameters_that_its_script_reads(stage: str) -> None:
    text = (ROOT / f"stages/{stage}.py").read_text()
    listed = [item.removesuffix(".${key}") for item in declared(stage)["params"]]
    assert {item.split(".")[0] for item in listed} == read_sections(text)
    for key in (item for item in listed if "." in item):
        assert f"params.{key}" in text
        assert not re.search(rf"params\.{key.split('.')[0]}(?!\.{key.split('.')[1]}\b)", text)


def read_sections(text: str) -> set[str]:
    """The sections of the parameters that a script takes."""
    if "plain(params)" in text:
        return set(SECTIONS)
    named = set(re.findall(rf"(?<!transferlab\.)\bparams\.({'|'.join(SECTIONS)})\b", text))
    taken = {name for name in vars(Sections) if name in SECTIONS}
    return named | (taken if "recipe_of(params" in text else set())


def test_nothing_below_a_stage_takes_all_parameters() -> None:
    """A function that takes its own section says what it needs, and is cached by it."""
    takers = {path for path in modules() if CHECK & imported(path)}
    rooms_of_takers = {path.relative_to(PACKAGE).parts[0] for path in takers}
    assert rooms_of_takers <= {"params", "pipeline", "settings", "commands"}


@pytest.mark.parametrize("stage", NAMES)
def test_commands_hold_no_parameter_but_the_key_of_the_strategy(stage: str) -> None:
    command = declared(stage)["cmd"]
    assert set(re.findall(r"\$\{[^}]*\}", command)) <= {"${key}"}
    assert re.fullmatch(rf"python stages/{stage}\.py( \$\{{key\}})?", command)


def test_training_depends_on_training_images_and_weights_and_on_no_times() -> None:
    listed = [
        item for item in declared("train")["deps"] if not item.startswith(("src/", "stages/"))
    ]
    assert listed == [
        "data/processed/train",
        "data/processed/classes.json",
        "data/splits/validation.csv",
        "data/weights/start.safetensors",
        "data/weights/start.json",
        "data/precision.json",
    ]


def test_metrics_and_reports_are_single_files_and_one_folder_of_figures_kept_by_git() -> None:
    for stage in NAMES:
        outs = declared(stage).get("outs", []) + declared(stage).get("metrics", [])
        for out in outs:
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            if path.startswith(("metrics/", "reports/")):
                assert options == {"cache": False, "persist": True}
                assert Path(path).suffix or path == "reports/figures"


def test_the_headline_is_the_one_declared_metric() -> None:
    metrics = [out for stage in NAMES for out in declared(stage).get("metrics", [])]
    assert metrics == [{"metrics/headline.json": {"cache": False, "persist": True}}]


def test_committed_params_are_what_conf_composes_to() -> None:
    assert (ROOT / "params.yaml").read_text() == compose.compose()


def test_committed_defaults_are_what_conf_composes_to() -> None:
    """Else write them with: transferlab compose."""
    recorded, _ = (ROOT / compose.DEFAULTS).read_text().split(compose.OPTIONS_SAY)
    assert recorded == compose.DEFAULTS_SAY + compose.compose()


PACKAGES = {
    "none": ((), "watch download preprocess split precision"),
    "networks": (
        ("torch",),
        "weights train evaluate controls cross_validate learning_curve champion",
    ),
    "tables": (("pandas",), "compare track"),
    "figures": (("matplotlib", "pandas"), "report"),
}
"""What stages import before their work begins; MLflow and torchvision come when they are needed."""
HEAVY = ("torch", "torchvision", "mlflow", "sklearn", "matplotlib", "pandas", "dvc", "hydra")
IMPORTS = """
import importlib.util, sys
for stage in sys.argv[1].split():
    spec = importlib.util.spec_from_file_location("script", f"stages/{stage}.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*sys.modules)
"""


def test_every_stage_stands_in_one_group_of_packages() -> None:
    grouped = [stage for _, stages in PACKAGES.values() for stage in stages.split()]
    assert sorted(grouped) == sorted(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("group", PACKAGES)
def test_stages_import_exactly_the_heavy_packages_of_their_group(group: str) -> None:
    """One interpreter for a group, since each takes seconds."""
    needed, stages = PACKAGES[group]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, stages],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(set(HEAVY) & set(done.stdout.split())) == list(needed)


def test_imports_run_downward_without_a_cycle() -> None:
    graph = {path: imported(path) for path in modules()}
    while graph:
        free = [path for path, needs in graph.items() if not needs & graph.keys()]
        assert free, f"a cycle among {sorted(path.stem for path in graph)}"
        for path in free:
            del graph[path]


def test_rooms_import_downward_without_a_cycle() -> None:
    """In the order of the data; what stands below knows nothing of what stands above."""
    order = [
        "params",
        "pipeline",
        "data",
        "settings",
        "network",
        "training",
        "weights",
        "prediction",
        "experiments",
    ]
    order += ["evidence", "report", "revisions", "delivery", "tracking", "commands"]
    assert {folder.name for folder in folders() if folder.parent == PACKAGE} == set(order)
    for path in modules():
        above = (
            order[order.index(path.relative_to(PACKAGE).parts[0]) + 1 :]
            if path.parent != PACKAGE
            else []
        )
        for module in imported(path):
            room = module.relative_to(PACKAGE).parts[0]
            assert room not in above, f"{path.relative_to(PACKAGE)} imports {room}"
