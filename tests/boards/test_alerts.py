"""Prometheus takes the rules; each alert fires when it should and is silent when it should; each has a runbook."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from board_files import ALERTS, FOLDER, RUNBOOKS, alerts, anchors, board_names, metrics_of, panels, rules
from board_files import board as read_board

from tiered_memory.cli.app import build
from tiered_memory.cli.dashboards import shipped

CASES = Path(__file__).parent / "alerts"
NAMES = [alert["alert"] for alert in alerts()]
WANTED = {
    f"TieredMemory{name}"
    for name in [
        "Down",
        "TierDegraded",
        "ErrorRatio",
        "LatencyP99",
        "JournalBacklog",
        "FsyncSlow",
        "OverdueDeletion",
        "ErasureDeadlineNear",
        "ErasureFailed",
        "LedgerCheckpointStale",
        "CorruptionDetected",
        "DiskWillFill",
        "KeyRotationOverdue",
        "QuarantineSpike",
        "EventLoopLag",
        "JobFailing",
    ]
}
SECTIONS = ("Meaning", "Impact", "How to look", "What to do", "Escalate")
COMMAND = re.compile(r"`tiered-memory ([a-z][a-z -]*?)(?: --?[^`]*| [A-Z][^`]*)?`")
OPTION = re.compile(r"`tiered-memory ([a-z][a-z -]*?) (--[a-z-]+)")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def cases(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((CASES / f"{name}.yml").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["tests"]
    return found


# --- the rules -----------------------------------------------------------------------------------------------


def test_prometheus_takes_the_rules(promtool: str) -> None:
    done = run(promtool, "check", "rules", ALERTS)
    assert done.returncode == 0, done.stderr


def test_the_agreed_alerts_are_there() -> None:
    assert set(NAMES) == WANTED
    assert len(NAMES) == len(WANTED)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_and_stays_silent(name: str, promtool: str) -> None:
    done = run(promtool, "test", "rules", CASES / f"{name}.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_both_are_shown_of_this_very_alert(name: str) -> None:
    expected = [
        (one["alertname"], bool(one["exp_alerts"])) for case in cases(name) for one in case["alert_rule_test"]
    ]
    assert set(expected) == {(name, True), (name, False)}


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_shown_on_data_that_the_alert_looks_at(name: str) -> None:
    """A silent case without the alert's own metrics would show nothing."""
    rule = next(one for one in alerts() if one["alert"] == name)
    expressions = {one["record"]: one["expr"] for one in rules() if "record" in one}
    text = " ".join([rule["expr"], *(expr for record, expr in expressions.items() if record in rule["expr"])])
    looked_at = metrics_of(text) or {"up"}
    for case in cases(name):
        given = {series["series"].split("{")[0] for series in case["input_series"]}
        assert given & looked_at, case["name"]
        assert given <= looked_at, case["name"]


def test_a_case_that_is_wrong_is_found_wrong(promtool: str, tmp_path: Path) -> None:
    text = (CASES / "TieredMemoryDown.yml").read_text(encoding="utf-8")
    rules_path = f"rule_files: [{ALERTS}]"
    wrong = re.sub(r"rule_files: .*", rules_path, text).replace("1 0 1x10", "1 0x10")
    (tmp_path / "case.yml").write_text(wrong, encoding="utf-8")
    assert run(promtool, "test", "rules", tmp_path / "case.yml").returncode == 1


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_an_alert_says_what_whoever_is_woken_needs(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    said = alert["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["runbook_url"] == f"runbooks.md#{alert['alert'].lower()}"
    shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(said)))
    assert shown <= {"tier", "op", "store", "outcome", "exported_job"}


# --- the provisioning ----------------------------------------------------------------------------------------


def test_prometheus_takes_the_configuration_as_exported(promtool: str, tmp_path: Path) -> None:
    for name, text in shipped().items():
        path = tmp_path / name.removeprefix("provisioning/prometheus/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("/etc/prometheus/tiered-memory.token", str(token)), encoding="utf-8")
    done = run(promtool, "check", "config", config)
    assert done.returncode == 0, done.stderr
    assert "1 rule files found" in done.stdout


def test_the_alerts_and_the_scrapes_agree_on_the_job() -> None:
    path = FOLDER / "provisioning" / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = {one["job_name"] for one in config["scrape_configs"]}
    watched = {job for alert in alerts() for job in re.findall(r'\{job="([^"]+)"\}', alert["expr"])}
    assert watched == names == {"tiered-memory"}


@pytest.mark.parametrize("path", sorted((FOLDER / "provisioning" / "grafana").rglob("*.yml")), ids=str)
def test_grafana_is_given_files_of_its_form(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["apiVersion"] == 1
    assert len(document["datasources" if path.parent.name == "datasources" else "providers"]) == 1


# --- the runbooks --------------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    text = RUNBOOKS.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_tells_all_five(name: str) -> None:
    assert tuple(re.findall(r"^\*\*([^.]+)\.\*\*", sections()[name], re.MULTILINE)) == SECTIONS


def test_every_link_to_a_runbook_leads_somewhere() -> None:
    every = [panel["description"] for name in board_names() for panel in panels(read_board(name))]
    linked = [re.findall(r"\]\(runbooks\.md#([\w-]+)\)", text) for text in every]
    assert all(len(one) == 1 for one in linked)
    assert {anchor for one in linked for anchor in one} <= anchors(RUNBOOKS.read_text(encoding="utf-8"))


def test_every_section_is_reached_from_a_board_or_an_alert() -> None:
    every = "".join(panel["description"] for name in board_names() for panel in panels(read_board(name)))
    reached = set(re.findall(r"runbooks\.md#([\w-]+)", every)) | {name.lower() for name in NAMES}
    assert {name.lower() for name in sections()} == reached


def test_links_within_the_runbooks_lead_somewhere() -> None:
    text = RUNBOOKS.read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors(text)


def test_every_command_of_the_runbooks_exists() -> None:
    text = RUNBOOKS.read_text(encoding="utf-8")
    named = COMMAND.findall(text)
    assert len(named) > 30
    assert [name for name in named if _command(name) is None] == []
    options = [(name, option) for name, option in OPTION.findall(text) if option not in _options(name)]
    assert options == []


def test_a_command_that_is_none_is_noticed() -> None:
    assert COMMAND.findall("`tiered-memory keys dance --now` or `tiered-memory erase --user ID`") == [
        "keys dance",
        "erase",
    ]
    assert _command("keys dance") is None
    assert _command("keys") is None
    assert _command("jobs run flush") is _command("jobs run")
    assert "--now" not in _options("erase")


@cache
def _command(name: str) -> Any:
    """Return a command by its name, which arguments may follow; None when there is none, or only a group of them."""
    found: Any = _program()
    for word in name.split():
        if not hasattr(found, "commands"):
            break
        found = found.commands.get(word)
    return None if hasattr(found, "commands") else found


@cache
def _program() -> Any:
    return typer.main.get_command(build())


def _options(name: str) -> set[str]:
    return {option for parameter in _command(name).params for option in parameter.opts}
