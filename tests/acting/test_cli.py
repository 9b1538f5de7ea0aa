"""Every command answers people and programs; what is refused says why, and nothing else breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import BESIDE_THE_PACKAGE, Shell, lines, shell_in

from tiered_memory.cli.output import harmless
from tiered_memory.ownership import Ownership

COMMANDS = [
    ["demo"],
    ["add"],
    ["search"],
    ["context"],
    ["list"],
    ["explain"],
    ["history"],
    ["forget"],
    ["erase"],
    ["stats"],
    ["forecast"],
    ["tune"],
    ["policy", "check"],
    ["consent", "grant"],
    ["consent", "withdraw"],
    ["consent", "show"],
    ["delete"],
    ["restore"],
    ["unforget"],
    ["backup"],
    ["verify-erased"],
    ["version"],
]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


@pytest.fixture
def agreed(shell: Shell) -> Shell:
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    return shell


# --- the frame -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_can_answer_in_json(shell: Shell, command: list[str]) -> None:
    result = shell.run(*command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_version_names_the_engines(shell: Shell) -> None:
    document = json.loads(shell.run("version", "--json").stdout)
    assert {"lancedb", "redis", "duckdb"} <= set(document["engines"])
    assert document["tiered-memory"] in shell.run("version").stdout


def test_the_module_is_the_command() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tiered_memory", "version", "--json"],
        capture_output=True,
        check=True,
        cwd=BESIDE_THE_PACKAGE,
    )
    assert json.loads(found.stdout)["tiered-memory"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("add",),
        ("erase", "--yes"),
        ("search",),
        ("nonsense",),
        ("list", "--limit", "many"),
        ("add", "a", "--input", "b"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_two(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run(*arguments).exit_code == 2


def test_reading_a_store_that_is_not_there_makes_none(shell: Shell) -> None:
    assert shell.refusal("list")["error"] == "ConfigurationError"
    assert not shell.data.exists()


def test_a_misspelt_setting_is_refused(shell: Shell, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("flush_age = 3\n")
    assert "flush_age" in shell.refusal("add", "hello", "--config", str(config))["message"]


def test_a_directory_with_another_owner_is_refused(agreed: Shell) -> None:
    owner = Ownership(agreed.data)
    owner.acquire()
    try:
        refusal = agreed.refusal("list")
    finally:
        owner.release()
    assert refusal["error"] == "DataDirectoryInUseError"
    assert str(os.getpid()) in refusal["message"]
    assert agreed.document("list") == {"memories": [], "next_before": None}


def test_warnings_go_to_standard_error_and_leave_the_document_alone(shell: Shell) -> None:
    result = shell.on_store("add", "hello", "--json")
    assert "warning: made a new root key" in result.stderr
    assert json.loads(result.stdout)["durability"] == "ephemeral"


def test_an_error_for_people_is_one_plain_sentence(agreed: Shell) -> None:
    result = agreed.on_store("explain", "0" * 32)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: No such memory")
    assert "Traceback" not in result.output


# --- remembering ---------------------------------------------------------------------------------------------


def test_without_consent_nothing_stays_and_the_answer_says_so(shell: Shell) -> None:
    result = shell.on_store("add", "I prefer tea")
    assert "ephemeral" in result.stdout
    assert "consent grant" in result.stderr
    assert shell.document("list")["memories"] == []
    assert shell.refusal("add", "I prefer tea", "--require", "journaled")["error"] == "ConsentRequiredError"


def test_what_was_added_is_found_listed_explained_and_packed(agreed: Shell) -> None:
    receipt = agreed.document(
        "add", "I prefer rooibos tea over coffee", "--session", "s1", "--author", "Maya"
    )
    assert receipt["durability"] == "journaled"
    (hit,) = agreed.document("search", "what does she drink, tea?")["hits"]
    assert hit["memory"]["id"] == receipt["id"]
    assert sum(hit["terms"].values()) == pytest.approx(hit["score"])
    assert "rooibos" in agreed.words("search", "tea")
    assert agreed.document("list")["memories"][0]["author"] == "Maya"
    assert receipt["id"][:8] in agreed.words("list")
    explained = agreed.document("explain", receipt["id"][:6])
    assert explained["deadline_rule"] == "decay"
    assert 0 < explained["strength"] <= explained["memory"]["importance"]
    assert "half-life" in agreed.words("explain", receipt["id"])
    context = agreed.document("context", "which tea?", "--in-session", "s1", "--token-budget", "60")
    assert "rooibos" in context["text"]
    assert context["tokens"] <= 60
    assert "rooibos" in agreed.words("context", "which tea?")


def test_the_given_details_are_kept(agreed: Shell) -> None:
    given = (
        "--role",
        "tool",
        "--time",
        "2026-01-02T03:04+05:00",
        "--kind",
        "semantic",
        "--importance",
        "0.9",
    )
    agreed.document("add", "the build is green", *given)
    (memory,) = agreed.document("list", "--kind", "semantic", "--role", "tool")["memories"]
    assert memory["occurred_at"] == "2026-01-02T03:04:00+05:00"
    assert memory["importance"] == 0.9
    assert agreed.document("list", "--kind", "profile")["memories"] == []
    assert agreed.document("list", "--since", "2026-01-02")["memories"] == []
    assert agreed.document("list", "--since", "2026-01-01", "--until", "2026-01-03")["memories"]


def test_a_list_is_paged(agreed: Shell) -> None:
    agreed.document("add", "-", text=lines(*(f"we decided on option {n}" for n in range(7))))
    seen, before = [], None
    for _ in range(4):
        page = agreed.document("list", "-n", "3", *([] if before is None else ["--before", str(before)]))
        seen += [memory["content"] for memory in page["memories"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == [f"we decided on option {n}" for n in reversed(range(7))]
    assert "--before" in agreed.on_store("list", "-n", "3").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "x", "--time", "2026-01-02T03:04"), "offset"),
        (("add", "x", "--time", "yesterday"), "ISO 8601"),
        (("add", "x", "--time", "2999-01-02"), "future"),
        (("add", "x", "--importance", "nan"), "0..1"),
        (("add", "   "), "empty"),
        (("add", "x", "--role", "king"), "role"),
        (("add", "x", "--session", ""), "session"),
        (("search", "x", "--limit", "0"), "limit"),
        (("list", "--kind", "odd"), "--kind"),
        (("explain", "../../etc"), "id"),
        (("context", "x", "--token-budget", "0"), "token_budget"),
        (("forget", "--dry-run", "--confirm"), "dry run"),
        (("consent", "grant", "marketing", "--notice", "n"), "purpose"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_bad_input_is_a_typed_error(agreed: Shell, arguments: tuple[str, ...], says: str) -> None:
    refusal = agreed.refusal(*arguments)
    assert refusal["error"] in {"InvalidInputError", "NotFoundError"}
    assert says in refusal["message"]


@pytest.mark.parametrize("user", ["../x", "'; DROP TABLE subjects; --", "名前 🦊", "a b", "-u", "%s{0}"])
def test_a_hostile_user_id_is_only_a_name(shell: Shell, user: str) -> None:
    who = f"--user={user}"
    shell.document("consent", "grant", "personalization", "--notice", "n", who)
    shell.document("add", "I prefer tea", who)
    assert len(shell.document("list", who)["memories"]) == 1
    assert shell.document("list", "--user", "somebody else")["memories"] == []
    names = [str(path) for path in shell.data.parent.rglob("*")]
    assert not any("DROP" in name or "名前" in name for name in names)


@pytest.mark.parametrize("user", ["", "x" * 10_000, "new\nline", "\udcff", "nul\x00"])
def test_an_impossible_user_id_is_refused(agreed: Shell, user: str) -> None:
    assert agreed.refusal("list", f"--user={user}")["error"] == "InvalidInputError"


def test_a_memory_cannot_steer_the_terminal(agreed: Shell) -> None:
    content = "I prefer \x1b[2J\x1b]0;owned\x07 [red]tea[/red] \u202eevil"
    receipt = agreed.document("add", content)
    for arguments in (["list"], ["search", "tea"], ["explain", receipt["id"]], ["context", "tea"]):
        shown = agreed.words(*arguments)
        assert "[red]tea[/red]" in shown
        assert not set("\x1b\x07\u202e") & set(shown)
    assert agreed.document("list")["memories"][0]["content"] == content


def test_harmless_leaves_ordinary_text_alone() -> None:
    assert harmless("Tack, 素晴らしい\n\t✓") == "Tack, 素晴らしい\n\t✓"


def test_digits_that_name_several_memories_are_refused(agreed: Shell) -> None:
    assert agreed.refusal("explain", "abc")["error"] == "InvalidInputError"
    assert agreed.refusal("explain", "f" * 31)["error"] == "NotFoundError"


def test_a_memory_is_deleted_for_good(agreed: Shell) -> None:
    receipt = agreed.document("add", "I prefer tea")
    assert agreed.document("delete", receipt["id"][:10]) == {"deleted": receipt["id"]}
    assert agreed.document("list")["memories"] == []
    assert agreed.refusal("unforget", receipt["id"])["error"] == "NotFoundError"
