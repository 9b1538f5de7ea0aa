"""Write the Grafana dashboards, or check that they are up to date.

python scripts/generate_dashboards.py            write dashboards/*.json anew
python scripts/generate_dashboards.py --check    change nothing; fail when something would change

Needs grafana-foundation-sdk, which the group `check` installs. An unpinned one would give the types of another Grafana.
"""

from __future__ import annotations

import sys
from pathlib import Path

from boards import forgetting, journal, overview, privacy, tiers
from boards.build import as_json

FOLDER = Path(__file__).resolve().parent.parent / "dashboards"
BOARDS = (overview.BOARD, tiers.BOARD, forgetting.BOARD, privacy.BOARD, journal.BOARD)


def generated() -> dict[str, str]:
    """Return the text of every board's file, by its name."""
    return {f"{board.file}.json": as_json(board) for board in BOARDS}


def stale(folder: Path) -> list[str]:
    """Return the names of files in `folder` that differ from what is generated, lack, or are generated no more."""
    wanted = generated()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(folder: Path) -> None:
    """Bring `folder` up to date."""
    folder.mkdir(exist_ok=True)
    wanted = generated()
    for name in stale(folder):
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()


def main() -> int:
    old = stale(FOLDER)
    if "--check" in sys.argv[1:]:
        for name in old:
            print(f"dashboards/{name} is out of date: run `make dashboards`")
        return int(bool(old))
    write(FOLDER)
    print(f"{len(BOARDS)} dashboards, {len(old)} of them changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
