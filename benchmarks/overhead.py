"""What a stage costs beside its work: start-up with its imports, and DVC around it.

Run it in a checkout whose pipeline is complete, such as the `.demo` that `make demo` leaves. Stages
are run again one by one; trainings find their features in the cache.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import yaml

IMPORT = "import runpy, sys; sys.argv = [sys.argv[1]]; runpy.run_path(sys.argv[0])"


def seconds(command: list[str], root: Path, times: int = 1) -> float:
    """Median wall time."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run(command, cwd=root, check=True, capture_output=True)
        found.append(time.perf_counter() - begun)
    return median(found)


def main() -> None:
    """Print a line per stage, and what a `dvc repro` with nothing to do takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="a checkout with a complete pipeline")
    parser.add_argument("--repeats", type=int, default=3)
    root, repeats = (given := parser.parse_args()).root.resolve(), given.repeats
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    known = [
        line.split()[0]
        for line in subprocess.check_output(
            ["dvc", "stage", "list"], cwd=root, text=True
        ).splitlines()
    ]
    print("| stage | interpreter and imports, s | whole stage, s | the same through DVC, s |")
    print("| --- | --: | --: | --: |")
    for name in stages:
        found = next((stage for stage in known if stage.split("@")[0] == name), None)
        if found is None:
            continue
        words = ["python", f"stages/{name}.py", *found.split("@")[1:]]
        imports = seconds(["python", "-c", IMPORT, words[1]], root, repeats)
        whole = seconds(words, root, repeats)
        through = seconds(["dvc", "repro", "--single-item", "--force", found], root, repeats)
        print(f"| {found} | {imports:.1f} | {whole:.1f} | {through:.1f} |", flush=True)
    print(f"\n`dvc repro` with nothing to do: {seconds(['dvc', 'repro'], root, repeats):.1f} s")


if __name__ == "__main__":
    main()
