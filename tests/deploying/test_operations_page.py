"""The operations page prints what it shows; what it cannot play names what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tiered_memory.cli.app import build

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
TEXT = PAGE.read_text(encoding="utf-8")
INLINE = re.compile(r"`tiered-memory ([a-z-]+)(?: ([a-z-]+))?")


def names() -> set[str]:
    """Return the commands there are, those of groups with their group's name before them."""
    from typer.main import get_command

    found: set[str] = set()
    for name, one in get_command(build()).commands.items():  # type: ignore[attr-defined]
        found |= {name} | {f"{name} {inner}" for inner in getattr(one, "commands", ())}
    return found


def test_the_page_prints_what_it_shows() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/walkthrough.py", str(PAGE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_restores_with_the_list_of_the_erased_and_without() -> None:
    restores = re.findall(r"^\$ tiered-memory restore .*$", TEXT, re.MULTILINE)
    assert ["--erased-list" in one for one in restores] == [True, False]


def test_every_command_it_names_is_one() -> None:
    groups = {name.split()[0] for name in names() if " " in name}
    for group, inner in INLINE.findall(TEXT):
        assert (f"{group} {inner}" if group in groups else group) in names()


def test_every_file_it_installs_is_there() -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")
    words = [word for line in blocks.splitlines() for word in shlex.split(line)]
    named = {word for word in words if word.startswith(("deploy/", "requirements/"))}
    assert len(named) >= 5
    assert [word for word in named if not (ROOT / word).is_file()] == []


def test_the_secrets_it_makes_are_those_the_compose_file_takes() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    made = set(re.findall(r"secrets/(\w+)$", TEXT, re.MULTILINE))
    assert {f"./secrets/{name}" for name in made} == {one["file"] for one in compose["secrets"].values()}


@pytest.mark.parametrize("alert", sorted(set(re.findall(r"`(TieredMemory\w+)`", TEXT))))
def test_every_alert_it_names_is_one(alert: str) -> None:
    rules = yaml.safe_load((ROOT / "dashboards" / "alerts" / "tiered-memory.yml").read_text(encoding="utf-8"))
    assert alert in {rule.get("alert") for group in rules["groups"] for rule in group["rules"]}


def test_the_extras_that_are_installed_are_the_server_s() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    pinned = (ROOT / "requirements" / "server.txt").read_text(encoding="utf-8").lower()
    for wanted in (*extras["server"], *extras["otel"]):
        name = re.split(r"[\[><=;]", wanted)[0].lower()
        assert re.search(rf"(?m)^{re.escape(name)}==", pinned), name
