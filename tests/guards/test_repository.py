"""The repository speaks of the project alone, and its facts agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from source_tree import ROOT, modules, repository_files

import tiered_memory

HOSTS = (
    "127.0.0.1",
    "github.com",
    "huggingface.co",
    "json-schema.org",
    "localhost",
    "prometheus.io",
    "semver.org",
    "www.apache.org",
    "www.w3.org",
)
"""Where the repository may point to; a host that packages come from is none of its business."""
AGREED = "|".join(map(re.escape, HOSTS))
UNWANTED = {
    "a host nobody agreed to": re.compile(
        rf"https?://(?!(?:{AGREED}|[\w.-]+\.example)(?![\w.-]*\w))[\w-]+(?:\.[\w-]+)+"
    ),
    "a package index": re.compile(r"--(extra-)?index-url|--find-links"),
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(home|Users|root|work|opt|tmp|mnt|srv)/\w"),
    "unfinished work": re.compile(r"(#|--|//|<!--|\*)\s*(TODO|FIXME|XXX)\b"),
}
SELF = "tests/guards/test_repository.py"
SEARCHED_BYTES = 2 << 20
PIN = re.compile(r"^[a-z0-9-]+==[^\s;]+( ; [^\\]+)? \\$")


@pytest.mark.parametrize("sort", UNWANTED)
def test_no_file_holds_anything_unwanted(sort: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in repository_files()
        if str(path.relative_to(ROOT)) != SELF and path.stat().st_size < SEARCHED_BYTES
        for match in UNWANTED[sort].finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("sort", "text"),
    [
        ("a host nobody agreed to", "see https://packages.invalid/project"),
        ("a host nobody agreed to", "http://semver.org.packages.invalid"),
        ("a package index", "--find-links wheels"),
        ("a path of somebody's machine", "cd /home/somebody/project"),
        ("a path of somebody's machine", "in '/tmp/notes'"),
        ("unfinished work", "# TODO: later"),
    ],
)
def test_the_search_can_find(sort: str, text: str) -> None:
    assert UNWANTED[sort].search(text)


def test_one_version_everywhere() -> None:
    assert project()["version"] == tiered_memory.__version__
    assert f"## {tiered_memory.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["core", "server", "test", "check"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [number for number, line in enumerate(lines) if not line.startswith("    --hash=sha256:")]
    assert pins
    for number in pins:
        assert PIN.match(lines[number]), lines[number]
        assert lines[number + 1].startswith("    --hash=sha256:"), lines[number]


def test_every_direct_requirement_is_pinned() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", _requirements(), re.MULTILINE))
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    wanted = [*project()["dependencies"], *(one for group in groups.values() for one in group)]
    names = {re.split(r"[\[<>=;~! ]", one, maxsplit=1)[0].lower().replace("_", "-") for one in wanted}
    assert names - pinned == set()


def test_decisions_have_context_decision_and_price() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    numbers = [int(path.name[:4]) for path in records]
    assert numbers == list(range(1, len(records) + 1))
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Price"], path.name


def test_documents_named_in_the_code_exist() -> None:
    named = {
        match
        for module in (*modules("tiered_memory"), *modules("benchmarks"))
        for match in re.findall(r"`(?:docs/adr/\d{4}|tests/golden/[\w.]+|scripts/\w+\.py)`", module.text)
    }
    missing = [one for one in named if not _exists(one.strip("`"))]
    assert missing == []


def test_links_between_documents_work() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in repository_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def _requirements() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "requirements").glob("*.txt"))


def _exists(name: str) -> bool:
    path = ROOT / Path(name)
    return path.exists() or bool(list(path.parent.glob(f"{path.name}*")))
