"""Install one pinned set of requirements, or the package itself, into the environment that runs this.

    python scripts/install.py core          requirements/core.txt: every file must have a pinned hash
    python scripts/install.py --package     this checkout, editable; its requirements are there already

Only wheels are taken, so nothing is built and no code of a dependency runs while it is installed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]
PINNED = ["--require-hashes", "--only-binary", ":all:"]
HERE = ["--no-build-isolation", "--editable", str(ROOT)]
SAY_EVERY = 10
SHOWN_ON_ERROR = 30


def main(arguments: list[str]) -> int:
    """Run pip quietly, and return its exit status; on failure show the end of what it said."""
    if arguments == ["--package"]:
        return run("the package", HERE, expected=0)
    pins = ROOT / "requirements" / f"{arguments[0]}.txt"
    expected = pins.read_text(encoding="utf-8").count("==")
    return run(f"pinned packages ({arguments[0]})", [*PINNED, "--requirement", str(pins)], expected)


def run(what: str, options: list[str], expected: int) -> int:
    begun, said = time.monotonic(), []
    print(f"Installing {what} ...", flush=True)
    with subprocess.Popen(  # noqa: S603 - pip of this very interpreter
        [*PIP, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as pip:
        for line in pip.stdout or ():
            said.append(line)
            progress(sum(one.startswith("Collecting ") for one in said), expected, line)
    if pip.returncode:
        telling = [one for one in said if not one.startswith("Ignoring ")]
        print("".join(telling[-SHOWN_ON_ERROR:]), file=sys.stderr)
        return pip.returncode
    print(f"  done in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


def progress(count: int, expected: int, line: str) -> None:
    if line.startswith("Collecting ") and count % SAY_EVERY == 0:
        print(f"  {count} of at most {expected}", flush=True)
    if line.startswith("Installing collected"):
        print("  unpacking", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
