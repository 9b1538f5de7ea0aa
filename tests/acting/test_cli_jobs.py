"""On the command line: the background jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from cli_shell import BESIDE_THE_PACKAGE, Shell, shell_in
from support import opened

from tiered_memory.backup import verify_archive
from tiered_memory.cli.jobs import _span
from tiered_memory.cli.jobs import _table as table_of
from tiered_memory.cli.output import console
from tiered_memory.job_model import JobOutcome, JobStatus
from tiered_memory.testing import ManualClock


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = shell_in(tmp_path, monkeypatch)
    shell.document("consent", "grant", "personalization", "--notice", "n1")
    shell.document("add", "I prefer tea", "--importance", "0.9")
    return shell


def test_jobs_are_listed(shell: Shell) -> None:
    found = shell.document("jobs", "list")["jobs"]
    names = [one["name"] for one in found]
    assert names[:4] == ["flush", "uses", "forget", "purge"]
    assert "backup" not in names
    assert all(one["paused_since"] is None and one["timeout_seconds"] == 900.0 for one in found)
    shown = shell.words("jobs", "list")
    assert all(name in shown for name in names)
    assert "on events" in shown


def test_a_job_is_run(shell: Shell) -> None:
    done = shell.document("jobs", "run", "checkpoint")
    assert (done["name"], done["last_outcome"], done["runs"]) == ("checkpoint", "ok", 1)
    assert done["last_run"].endswith("+00:00")
    assert "checkpoint: ok" in shell.words("jobs", "run", "checkpoint")


def test_a_backup_is_run_where_its_folder_is_set(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "backup_dir" in shell.refusal("jobs", "run", "backup")["message"]
    monkeypatch.setenv("TIERED_MEMORY_BACKUP_DIR", str(tmp_path / "backups"))
    assert shell.document("jobs", "run", "backup")["last_outcome"] == "ok"
    [archive] = (tmp_path / "backups").iterdir()
    assert verify_archive(archive)["files"]


def test_a_job_that_fails_is_told_and_exits_with_1(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    monkeypatch.setenv("TIERED_MEMORY_BACKUP_DIR", str(tmp_path / "file"))
    result = shell.on_store("jobs", "run", "backup")
    assert result.exit_code == 1
    assert "backup: error (StorageError)" in result.stdout


@pytest.mark.parametrize("what", ["pause", "resume"])
def test_there_is_nothing_to_pause_where_nobody_runs_them(shell: Shell, what: str) -> None:
    for arguments in (("jobs", what), ("jobs", what, "forget")):
        refusal = shell.refusal(*arguments)
        assert refusal["error"] == "ConfigurationError"
        assert f"memory.jobs.{what}" in refusal["message"]
    assert shell.refusal("jobs", what, "nonsense")["error"] == "NotFoundError"


@pytest.mark.parametrize("what", [("list",), ("run", "forget"), ("pause", "forget"), ("resume",)])
def test_a_directory_in_use_names_its_owner(shell: Shell, what: tuple[str, ...]) -> None:
    holder = (
        "import sys; from pathlib import Path; from tiered_memory.ownership import Ownership; "
        "owner = Ownership(Path(sys.argv[1])); owner.acquire(); print('owned', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(shell.data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=BESIDE_THE_PACKAGE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"owned\n"
        refusal = shell.refusal("jobs", *what)
        assert refusal["error"] == "DataDirectoryInUseError"
        assert str(process.pid) in refusal["message"]
    finally:
        process.kill()
        process.communicate()


def test_the_list_says_what_is_paused_and_what_is_due() -> None:
    now = ManualClock().now()
    one = JobStatus(
        name="forget", about="forgets", interval_seconds=60.0, jitter_share=0.1, timeout_seconds=9.0
    )
    paused = JobStatus(
        name="purge",
        about="removes",
        interval_seconds=3_600.0,
        jitter_share=0.1,
        timeout_seconds=9.0,
        paused_since=now,
        last_run=now,
        last_outcome=JobOutcome.ERROR,
    )
    shown = console()
    with shown.capture() as captured:
        shown.print(table_of([one, paused]))
    text = captured.get()
    assert "paused since 2026-01-01 00:00" in text
    assert "1 min" in text
    assert "1 h" in text
    assert "error" in text


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.0, "1 s"), (90.0, "1.5 min"), (7_200.0, "2 h"), (86_400.0, "1 d")]
)
def test_spans_are_short(seconds: float, shown: str) -> None:
    assert _span(seconds) == shown


@pytest.mark.anyio
async def test_the_process_that_owns_the_directory_is_told(tmp_path: Path) -> None:
    """Through the socket in the directory: a pause holds there, and what it says comes back."""
    pytest.importorskip("uvicorn", reason="needs the extra `server`")
    pytest.importorskip("httpx2", reason="needs the extra `client`")
    store = tmp_path / "store"

    async def told(*arguments: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "tiered_memory", "jobs", *arguments, "--data", str(store), "--json"]
        done = await anyio.run_process(command, cwd=BESIDE_THE_PACKAGE)
        found = json.loads(done.stdout)
        return list(found.get("jobs", [found]))

    async with opened(store, settings={"redis_url": "local"}) as memory:
        assert [one["paused_since"] is None for one in await told("pause", "forget")] == [False]
        assert (await memory.jobs.get("forget")).paused
        listed = {one["name"]: one["paused_since"] is not None for one in await told("list")}
        assert {name for name, paused in listed.items() if paused} == {"forget"}
        [ran] = await told("run", "checkpoint")
        assert (ran["last_outcome"], (await memory.jobs.get("checkpoint")).runs) == ("ok", 1)
        assert all(one["paused_since"] for one in await told("pause"))
        assert not any(one["paused_since"] for one in await told("resume"))
        assert not any(one.paused for one in await memory.jobs.list())
