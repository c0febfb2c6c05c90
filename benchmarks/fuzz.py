"""Whatever is sent gets a result or a documented error: `python -m benchmarks.fuzz [--seconds 180]`, of `make soak`.

Atheris makes bytes that reach new lines of our readers; where it cannot be installed, Hypothesis makes them, and the
file says so. Then the suite's property tests try three times as many cases as usual. The counts go to
benchmarks/fuzz.json. Any other outcome ends it with status 1, and shows the case.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qa_compare.files import write_json

ROOT = Path(__file__).parent.parent
OUTPUT = Path(__file__).parent / "fuzz.json"
PROPERTIES = (
    "workbench/test_any_input",
    "page/test_any_request",
    "data/test_readers_any_file",
    "workbench/test_links",
    "models/test_features",
)
TIMES = 3
# what atheris watches for new lines: all that reads what was sent
FUZZED = (
    "data.examples",
    "data.readers",
    "data.rows",
    "files",
    "inference.decoding",
    "models.features",
    "workbench.session",
    "workbench.table",
)


class Tally:
    """Runs the target that the first byte chooses, and counts; writes the counts down when the time is over."""

    def __init__(self, seconds: float, output: Path) -> None:
        from benchmarks.fuzz_targets import targets

        self.targets = list(targets().items())
        self.cases: Counter[str] = Counter()
        self.output = output
        self.until = time.monotonic() + seconds

    def one(self, data: bytes) -> None:
        """One case."""
        from benchmarks.fuzz_targets import Source

        source = Source(data)
        name, target = source.pick(self.targets)
        self.cases[name] += 1
        target(source)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    def write(self) -> None:
        """The counts of every target."""
        write_json(self.output, {name: self.cases[name] for name, _ in self.targets})


def by_atheris(seconds: float, output: Path) -> None:
    """Never returns: atheris itself ends the process, as does a case that fails."""
    import atheris

    with atheris.instrument_imports(include=[f"qa_compare.{name}" for name in FUZZED]):
        tally = Tally(seconds, output)

    def once(data: bytes) -> None:
        tally.one(data)
        if tally.over:
            tally.write()
            os._exit(0)

    places = f"-artifact_prefix={tempfile.gettempdir()}/"  # of a case that fails, or takes long
    atheris.Setup([sys.argv[0], places, "-max_len=600", "-len_control=0", "-rss_limit_mb=6144", "-timeout=60"], once)
    atheris.Fuzz()


def by_hypothesis(seconds: float, output: Path) -> None:
    """The same targets from random bytes, in rounds until the time is over."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    tally = Tally(seconds, output)

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(min_size=1, max_size=600))
    def once(data: bytes) -> None:
        if not tally.over:
            tally.one(data)

    while not tally.over:
        once()
    tally.write()


def engine() -> str:
    """The name and version of what makes the bytes here."""
    for name in ("atheris", "hypothesis"):
        if importlib.util.find_spec(name):
            return f"{name} {version(name)}"
    raise SystemExit("fuzz: neither atheris nor hypothesis is installed: pip install -r requirements-dev.txt")


def properties(counts: Path) -> dict[str, int]:
    """How many cases each property test has tried. Ends the command where one fails."""
    tests = [f"tests/{name}.py" for name in PROPERTIES]
    environment = {**os.environ, "QA_COMPARE_CASES": str(TIMES), "QA_COMPARE_COUNTS": str(counts)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *tests], cwd=ROOT, env=environment, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit("fuzz: a property test failed")
    found: dict[str, int] = json.loads(counts.read_text())
    return found


def main(argv: list[str] | None = None) -> int:
    """The command. Exit status 1 where a case had another outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--worker", choices=["atheris", "hypothesis"], help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        {"atheris": by_atheris, "hypothesis": by_hypothesis}[options.worker](options.seconds, options.output)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return _whole(options.seconds, options.output, Path(folder))


def _whole(seconds: float, output: Path, folder: Path) -> int:
    makes = engine()
    counts = folder / "fuzzed.json"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzz", "--worker", makes.split()[0]]
    # in a process of its own: atheris ends it without a word to Python
    command += ["--seconds", str(seconds), "--output", str(counts)]
    log = folder / "log"
    with log.open("w") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, check=False)  # noqa: S603
    if done.returncode or not counts.exists():
        print(log.read_text()[-6_000:], file=sys.stderr)
        return 1
    fuzzed = json.loads(counts.read_text())
    tried = properties(folder / "properties.json")
    found: dict[str, Any] = {
        "made by": makes,
        "seconds": seconds,
        "cases": sum(fuzzed.values()),
        "faults": 0,
        "targets": fuzzed,
        "property tests": {"cases": sum(tried.values()), "tests": tried},
    }
    write_json(output, found)
    print(
        f"fuzz: {found['cases']:,} cases by {makes}, {found['property tests']['cases']:,} of property tests, no fault"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
