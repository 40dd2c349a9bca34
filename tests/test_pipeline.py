"""`dvc.yaml`, `params.yaml` and `conf/` against the code: the pipeline cannot lie about what depends on what."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from transferlab import compose

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "transferlab"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = ["download", "weights", "preprocess", "engine", "train", "evaluate", "controls", "cross_validate"]
NAMES += ["learning_curve", "compare", "report", "track"]
SECTIONS = ["dataset", "backbone", "seeds", "train", "engine", "strategies", "evaluate", "cross_validation"]
SECTIONS += ["learning_curve", "compare"]


def declared(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def imported(path: Path) -> set[str]:
    """The project's modules that a file imports anywhere, functions included."""
    modules, found = {file.stem for file in PACKAGE.glob("*.py")}, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.level == 1 or (node.module or "").startswith("transferlab")):
            inside = (node.module or "").removeprefix("transferlab").lstrip(".")
            found |= {inside} if inside else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("transferlab.") for alias in node.names), (
                "use: from transferlab import"
            )
    return found & modules


def reached(stage: str) -> set[str]:
    found, open_ = set(), imported(ROOT / f"stages/{stage}.py")
    while open_:
        found |= open_
        open_ = {name for module in open_ for name in imported(PACKAGE / f"{module}.py")} - found
    return found


def test_stages_stand_in_reading_order_and_each_has_a_script_and_a_description() -> None:
    assert list(STAGES) == NAMES
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(NAMES)
    assert all(declared(stage)["desc"] for stage in NAMES)


@pytest.mark.parametrize("stage", NAMES)
def test_stage_lists_exactly_the_modules_that_its_script_imports(stage: str) -> None:
    listed = {Path(item).stem for item in declared(stage)["deps"] if item.startswith("src/")}
    assert listed == reached(stage)
    assert f"stages/{stage}.py" in declared(stage)["deps"]


@pytest.mark.parametrize("stage", NAMES)
def test_stage_lists_exactly_the_parameters_that_it_reads(stage: str) -> None:
    # `stage.py` reads the whole file to check it, a source task trains with a strategy of its own, the controls and the
    # engine's trials use no trained model.
    exempt = {"params", "stage"} | {"weights": {"runs", "models"}, "engine": {"models"}, "controls": {"models"}}.get(
        stage, set()
    )
    sources = [ROOT / f"stages/{stage}.py", *(PACKAGE / f"{name}.py" for name in reached(stage) - exempt)]
    text = "\n".join(path.read_text() for path in sources)
    read = set(re.findall(rf"\bparams\.({'|'.join(SECTIONS)})\b", text))
    read |= set(re.findall(rf"\bparams\[\"({'|'.join(SECTIONS)})\"\]", text))
    if "plain(params)" in text:
        read = set(SECTIONS)
    listed = {item.split(".")[0] for item in declared(stage)["params"]}
    assert listed == read


@pytest.mark.parametrize("stage", NAMES)
def test_commands_hold_no_parameter_but_the_key_of_the_strategy(stage: str) -> None:
    command = declared(stage)["cmd"]
    assert set(re.findall(r"\$\{[^}]*\}", command)) <= {"${key}"}
    assert re.fullmatch(rf"python stages/{stage}\.py( \$\{{key\}})?", command)


def test_training_does_not_depend_on_test_images_nor_on_times() -> None:
    assert not [item for item in declared("train")["deps"] if "test" in item]
    assert not [item for stage in ("train", "evaluate") for item in declared(stage)["deps"] if "costs" in item]


def test_outputs_at_the_root_of_metrics_and_reports_are_single_files_kept_by_git() -> None:
    for stage in NAMES:
        outs = declared(stage).get("outs", []) + declared(stage).get("metrics", [])
        for out in outs:
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            if path.startswith(("metrics/", "reports/")):
                assert options == {"cache": False}
                assert Path(path).suffix


def test_summary_is_the_one_declared_metric() -> None:
    metrics = [out for stage in NAMES for out in declared(stage).get("metrics", [])]
    assert metrics == [{"metrics/summary.json": {"cache": False}}]


def test_committed_params_are_what_conf_composes_to() -> None:
    assert (ROOT / "params.yaml").read_text() == compose.compose()


TRAINING = ("torch", "torchvision")
PACKAGES = {
    "download": (),
    "preprocess": (),
    "engine": (),
    "compare": ("pandas",),
    "report": ("pandas", "matplotlib"),
    "track": ("mlflow",),
    **dict.fromkeys(("weights", "train", "evaluate", "controls", "cross_validate", "learning_curve"), TRAINING),
}
HEAVY = ("torch", "torchvision", "mlflow", "sklearn", "matplotlib", "pandas", "dvc", "hydra")


@pytest.mark.slow
@pytest.mark.parametrize("stage", NAMES)
def test_stage_imports_no_heavy_package_that_it_does_not_need(stage: str) -> None:
    code = f"""
import sys, importlib.util
spec = importlib.util.spec_from_file_location("script", "stages/{stage}.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= set(PACKAGES[stage])


def test_imports_run_downward_without_a_cycle() -> None:
    graph = {path.stem: imported(path) for path in PACKAGE.glob("*.py")}
    while graph:
        free = [name for name, needs in graph.items() if not needs & graph.keys()]
        assert free, f"a cycle among {sorted(graph)}"
        for name in free:
            del graph[name]
