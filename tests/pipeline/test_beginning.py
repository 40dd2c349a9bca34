"""The first lines of a stage: what they note, and that they are the first."""

import ast
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy
import yaml
from checkout import ROOT

from transferlab.pipeline import code

STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
UNTIL_EDITED = "\nwhile not os.path.exists('edited'): time.sleep(0.01)"
NOTEBOOK = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "JPY_PARENT_PID": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR": "1",
    "TERM": "xterm-color",
    "PAGER": "cat",
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_begins_before_it_imports_anything_but_the_standard_library(name: str) -> None:
    body = ast.parse((ROOT / f"stages/{name}.py").read_text()).body
    first = next(at for at, line in enumerate(body) if isinstance(line, ast.If))
    lines = [ast.unparse(line) for line in body[: first + 1]]
    assert lines[-3:] == [
        "sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'src'))",
        "from transferlab.pipeline import beginning",
        "if __name__ == '__main__':\n    beginning.begin()",
    ]
    imported = [line.split()[1].split(".")[0] for line in lines[1:-3]]
    assert set(imported) <= sys.stdlib_module_names


# Code


DRILL = pytest.mark.drill


@pytest.mark.parametrize(
    "edited",
    ["src/transferlab/pipeline/files.py", pytest.param("stages/toy.py", marks=DRILL)],
)
def test_code_edited_while_packages_are_imported_stops_the_stage_before_its_work(
    root: Path, edited: str
) -> None:
    process = toy.start(root, IMPORTING=UNTIL_EDITED)
    toy.began(process)
    with (root / edited).open("a") as file:
        file.write("# edited")
    (root / "edited").touch()
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert err == (
        f"error: toy: expected its inputs to stay as they were, but {edited} changed while it ran. "
        "Nothing was recorded; run again.\n"
    )


@pytest.mark.slow
def test_code_edited_and_put_back_and_code_of_others_disturb_nothing(root: Path) -> None:
    process = toy.start(root, IMPORTING=UNTIL_EDITED)
    toy.began(process)
    path = root / "src/transferlab/pipeline/files.py"
    before = path.read_bytes()
    path.write_text("# edited")
    path.write_bytes(before)
    (root / "src/transferlab/report/text.py").write_text("# edited")
    (root / "edited").touch()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_the_digest_of_the_code_is_of_the_code_that_runs(root: Path) -> None:
    """Else an interrupted training would go on under the code that it was edited to."""
    digest = "print(stage.code_digest(root, 'toy'), flush=True)\n"
    edit = f"(root / '{'stages/toy.py'}').write_text('# edited')\n"
    process = toy.start(root, WORK=digest + edit + digest)
    out, _ = process.communicate(timeout=60)
    _, first, second = out.splitlines()
    assert first == second


@pytest.mark.slow
def test_a_link_to_nowhere_beside_the_code_is_no_code(root: Path) -> None:
    """An editor's lock."""
    (root / "stages/.#toy.py").symlink_to("somebody@somewhere.1234")
    process = toy.start(root)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_noting_the_code_takes_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "_noted", {})
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        code.note(ROOT)
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.05
    assert len(code.noted(ROOT / "src/transferlab/pipeline")) > 10


@pytest.mark.slow
def test_the_package_notes_nothing_for_who_uses_it_as_a_library() -> None:
    script = """
import os, signal, sys
before = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)], sys.excepthook
import transferlab.pipeline.stage
from transferlab.pipeline import code
after = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)], sys.excepthook
print(code._noted, before == after, os.environ.get("MPLBACKEND"))
"""
    command = [sys.executable, "-c", script]
    environment = toy.environment(PYTHONPATH=str(ROOT / "src"))
    environment.pop("MPLBACKEND", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "{} True None\n"


# Signals


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(it, marks=DRILL) for it in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_signal_while_packages_are_imported_is_one_line(
    root: Path, number: signal.Signals
) -> None:
    process = toy.start(root, "frozen", script="each", IMPORTING=toy.WAIT)
    toy.began(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert err == "each@frozen: interrupted. Run the same command again to go on.\n"
    assert process.returncode == 1


@pytest.mark.drill
@pytest.mark.parametrize("where", ["IMPORTING", "WORK"])
def test_a_stage_under_nohup_outlives_its_terminal(root: Path, where: str) -> None:
    wait = UNTIL_EDITED.lstrip()
    command = ["nohup", sys.executable, "stages/toy.py"]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=toy.environment(**{where: wait}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    toy.began(process)
    process.send_signal(signal.SIGHUP)
    (root / "edited").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


# Surroundings


@pytest.mark.slow
def test_a_notebook_s_environment_does_not_reach_the_figures(root: Path) -> None:
    work = (
        "import matplotlib.pyplot as plt; from matplotlib import get_backend\n"
        "plt.figure().savefig(root / 'a.png'); print(get_backend())"
    )
    process = toy.start(root, WORK=work, **NOTEBOOK)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "agg"


SAYING = """
print("a" * 100_000, flush=True)
print("b" * 100_000, file=sys.stderr, flush=True)
import logging
logging.getLogger().warning("c")
assert os.open("data/other", os.O_CREAT | os.O_WRONLY) > 2
write_text(root / "made/toy.csv", "whole")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "streams",
    [
        "| true",
        *(
            pytest.param(it, marks=DRILL)
            for it in ("2>&1 | true", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>&1")
        ),
    ],
)
def test_a_reader_that_goes_away_fails_no_stage(root: Path, streams: str) -> None:
    command = f"{{ {sys.executable} stages/toy.py; echo $? >status; }} {streams}"
    environment = toy.environment(WORK=SAYING, IMPORTING="time.sleep(0.3)")
    subprocess.run(["sh", "-c", command], cwd=root, env=environment, timeout=60, check=False)
    assert (root / "status").read_text() == "0\n"
    assert (root / "made/toy.csv").read_text() == "whole"


@pytest.mark.slow
def test_words_that_a_stream_cannot_spell_fail_no_stage(root: Path) -> None:
    process = toy.start(root, WORK="print('\\u00e4\\udcff')", PYTHONIOENCODING="ascii")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == r"\xe4\udcff"
