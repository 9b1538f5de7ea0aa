"""`tune` replays a history under candidate policies, says what is wrong with a line, and touches no store."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from cli_shell import BESIDE_THE_PACKAGE, Shell, shell_in

import tiered_memory
from tiered_memory.wiring import load_policy

DEMO = Path(tiered_memory.__file__).parent / "demo_data" / "conversation.jsonl"
DECISION = "We decided to use PostgreSQL 16 for the billing service in Gothenburg."
TALK = "ok, thanks!"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return shell_in(tmp_path, monkeypatch)


def turn(content: str = DECISION, time: str | None = "2026-01-05T09:00Z", **more: Any) -> dict[str, Any]:
    return {"content": content, "time": time, **more}


def written(*lines: object) -> str:
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def answer(shell: Shell, *arguments: str, text: str | bytes | None = None, source: str = "-") -> Any:
    result = shell.run("tune", "--input", source, "--json", *arguments, text=text)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(shell: Shell, text: str | bytes, *arguments: str) -> str:
    result = shell.run("tune", "--input", "-", "--json", *arguments, text=text)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    found: dict[str, str] = json.loads(result.stderr.splitlines()[-1])
    return f"{found['error']}: {found['message']}"


def only(document: Any) -> Any:
    (candidate,) = document["candidates"]
    return candidate


# --- what it answers -----------------------------------------------------------------------------------------


def test_the_bundled_talk_is_compared_under_the_default_the_seed_and_a_grid(shell: Shell) -> None:
    found = answer(shell, source=str(DEMO))
    assert found["turns"] == len(DEMO.read_text(encoding="utf-8").splitlines())
    assert [one["name"] for one in found["candidates"]][:3] == ["default", "seed", "t05-r04-g10"]
    assert [one["number"] for one in found["candidates"]] == list(range(1, 11))
    for one in found["candidates"]:
        assert one["turns"] == one["system_prompts"] + one["below_gate"] + one["stored"]
        assert one["stored"] == one["active"] + one["forgotten"] + one["purged"]
        assert one["months"][-1]["bytes"] == one["bytes_end"]
    assert any(one["best"] for one in found["candidates"])
    default, seed = found["candidates"][:2]
    assert default["active"] > seed["active"]
    assert default["importance_kept"] > seed["importance_kept"]


def test_the_answer_is_the_same_every_time_and_in_every_order_of_lines(shell: Shell) -> None:
    lines = DEMO.read_text(encoding="utf-8").splitlines()
    named = [json.dumps({**json.loads(line), "id": f"t{at}"}) for at, line in enumerate(lines)]
    needs = [json.dumps({"used": f"t{at}", "at": "2026-06-20T09:00Z"}) for at in range(0, 200, 9)]
    random.Random(5).shuffle(mixed := [*needs, *named])
    first, again, other = (answer(shell, text=written(*text)) for text in ((named + needs),) * 2 + (mixed,))
    assert first == again
    for document in (first, other):
        for one in document["candidates"]:
            for sort in ("missed", "gone", "dropped", "importance_kept"):
                del one[sort]
    assert first == other


def test_nothing_is_stored_and_no_store_is_opened(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("tune", "--input", str(DEMO)).exit_code == 0
    assert list(tmp_path.rglob("*")) == []


def test_people_get_a_table_with_the_best_marked(shell: Shell) -> None:
    result = shell.run("tune", "--input", str(DEMO))
    assert result.exit_code == 0, result.stderr
    rows = {
        line.split()[1 + (line.split()[1] == "*")]: line
        for line in result.stdout.splitlines()
        if line[:3].strip().isdigit()
    }
    assert set(rows) >= {"default", "seed", "t20-r12-g35"}
    best = {one["name"] for one in answer(shell, source=str(DEMO))["candidates"] if one["best"]}
    assert {name for name, row in rows.items() if " * " in row} == best
    assert "decided" not in result.stdout


def test_what_turns_say_is_shown_only_when_asked_for(shell: Shell) -> None:
    text = written(turn(TALK), turn(DECISION, "2026-01-05T09:01Z"))
    arguments = ("--policy", "default", "--horizon-days", "400")
    assert TALK not in shell.run("tune", "--input", "-", *arguments, text=text).stdout
    shown = shell.run("tune", "--input", "-", *arguments, "--show", "1", text=text).stdout
    assert TALK in shown
    assert DECISION in shown
    assert only(answer(shell, *arguments, text=text))["dropped"] == [
        {"line": 1, "importance": pytest.approx(0.02, abs=0.2)}
    ]
    assert only(answer(shell, *arguments, "--show", "1", text=text))["gone"][0]["content"] == DECISION


def test_content_cannot_steer_the_terminal(shell: Shell) -> None:
    text = written(turn("\u001b[2Jthanks"))
    shown = shell.run("tune", "--input", "-", "--policy", "default", "--show", "1", text=text)
    assert shown.exit_code == 0, shown.stderr
    assert "\u001b[2J" not in shown.stdout


def test_an_empty_history_is_no_error(shell: Shell) -> None:
    assert answer(shell, text="")["turns"] == 0
    assert "no turns" in shell.run("tune", "--input", "-", text="\n\n").stdout


def test_a_given_importance_stands_and_a_system_prompt_is_no_memory(shell: Shell) -> None:
    text = written(turn(TALK, importance=0.9), turn("Be brief.", role="system"), turn(TALK))
    found = only(answer(shell, "--policy", "default", text=text))
    assert (found["stored"], found["system_prompts"], found["below_gate"]) == (1, 1, 1)


def test_importance_is_that_of_the_moment_it_was_said(shell: Shell) -> None:
    """What was said before is no news, whoever else said it and wherever in the file it stands."""
    later = turn(DECISION.replace("We decided to", "They"), "2026-02-01T09:00Z")
    news = "They use PostgreSQL 16 for the billing service in Gothenburg."
    threshold = ("--policy", "default", "--set", "routing.cold_threshold=1")

    def importance(*lines: object) -> float:
        document = answer(shell, *threshold, text=written(*lines))
        by_line = {one["line"]: one["importance"] for one in document["candidates"][1]["dropped"]}
        return float(by_line[1])

    assert later["content"] == news
    before = turn(DECISION, "2026-01-05T09:00Z")
    assert importance(later, before) < importance(later)
    assert importance(later, {**before, "user": "else"}) == importance(later)
    assert importance(later, {**before, "time": "2026-03-05T09:00Z"}) == importance(later)


def test_the_horizon_goes_on_after_the_last_line(shell: Shell) -> None:
    text = written(turn())
    spans = [
        only(answer(shell, "--policy", "default", "--horizon-days", days, text=text)) for days in ("0", "400")
    ]
    assert [one["active"] for one in spans] == [1, 0]
    assert spans[1]["left"] == {"ceiling": 1} or "decay" in spans[1]["left"]


# --- what was needed -----------------------------------------------------------------------------------------


def test_what_was_needed_is_weighed_against_bytes(shell: Shell) -> None:
    lines = [
        turn(DECISION, "2026-01-05T09:00Z", id="db"),
        turn(TALK, "2026-01-05T09:01Z"),
        {"used": "db", "at": "2026-02-05T09:00Z"},
        {"asked": 2, "at": "2026-02-06T10:00:00+01:00"},
    ]
    found = answer(shell, "--policy", "default", text=written(*lines))
    assert found["weighed"] == "needs_met against bytes_peak"
    assert found["until"] == "2026-02-06T09:00:00+00:00"
    one = only(found)
    assert (one["needs"], one["needs_met"], one["needs_share"]) == (2, 1, 0.5)
    assert [missed["line"] for missed in one["missed"]] == [2]


def test_a_use_makes_it_last(shell: Shell) -> None:
    line = turn(TALK, "2026-01-01T09:00Z", importance=0.25)
    ask = {"asked": "1", "at": "2026-02-01T09:00Z"}
    use = {"used": "1", "at": "2026-01-20T09:00Z"}
    assert only(answer(shell, "--policy", "default", text=written(line, ask)))["needs_met"] == 0
    assert only(answer(shell, "--policy", "default", text=written(line, ask, use)))["needs_met"] == 2


# --- candidates ----------------------------------------------------------------------------------------------


def test_settings_stand_beside_each_named_policy(shell: Shell) -> None:
    arguments = ("--policy", "default", "--policy", "seed", "--set", "decay.threshold=0.5")
    found = answer(shell, *arguments, source=str(DEMO))["candidates"]
    assert [one["name"] for one in found] == ["default", "seed", "default+set", "seed+set"]
    assert found[2]["active"] < found[0]["active"]


def test_that_quotas_are_not_replayed_is_said(shell: Shell) -> None:
    def noted(*settings: str) -> str:
        return str(shell.run("tune", "--input", "-", *settings, text=written(turn())).stderr)

    assert "quotas are not replayed" in noted("--set", "quota.max_items=1")
    assert noted() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--set", "decay.treshold=0.1"],
            "PolicyError: --set: [decay] treshold is not a key of a policy; did you mean 'threshold'?",
        ),
        (["--set", "retention.internal.floor_days=400"], "both cannot hold"),
        (["--set", "decay.threshold=0.1", "--set", "decay.threshold=0.2"], "decay.threshold is given twice"),
        (["--set", "decay.threshold"], "is no setting"),
        (["--policy", "nonesuch"], "no policy of that name"),
        (["--policy", "missing.toml"], "cannot be read"),
        (["--choose", "99"], "no row is called '99'"),
        (["--policy", "default", "--policy", "default", "--choose", "default"], "choose by number"),
        (["--write", "p.toml"], "say with --choose"),
    ],
)
def test_what_makes_no_candidate_is_refused(shell: Shell, arguments: list[str], said: str) -> None:
    assert said in refused(shell, written(turn()), *arguments)
    assert not Path("p.toml").exists()


def test_the_chosen_row_becomes_a_policy_file(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    arguments = ("--set", "decay.threshold=0.05", "--choose", "2", "--write", str(path))
    found = answer(shell, *arguments, text=written(turn()))
    assert found["chosen"] == 2
    assert path.read_text(encoding="utf-8") == found["toml"]
    assert load_policy(str(path)).decay.threshold == 0.05
    assert load_policy(str(path)).version == found["candidates"][1]["version"]
    assert "is there already" in refused(shell, written(turn()), *arguments)
    again = only(answer(shell, "--policy", str(path), text=written(turn())))
    assert again["version"] == found["candidates"][1]["version"]


def test_the_chosen_row_is_shown_month_by_month_and_as_toml(shell: Shell) -> None:
    result = shell.run("tune", "--input", str(DEMO), "--choose", "t05-r04-g10")
    assert result.exit_code == 0, result.stderr
    assert "t05-r04-g10, month by month" in result.stdout
    assert "2026-03" in result.stdout
    assert "[decay]\ndaily_rate = 0.04\nthreshold = 0.05" in result.stdout


# --- bad lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: must be a JSON object"),
        (turn(colour="red"), "line 2: 'colour' is not a key; known are agent, asked, at, author"),
        (turn(content=7), "line 2: needs its content as text"),
        (turn(content="  "), "line 2: content must not be empty"),
        (turn(time=None), "line 2: needs its time"),
        (turn(time="2026-01-05T09:00"), "line 2: time needs an offset"),
        (turn(time="yesterday"), "line 2: time must be ISO 8601"),
        (turn(time=5), "line 2: time must be text"),
        (turn(time="2999-01-05T09:00Z"), "line 2: occurred_at lies more than a day in the future"),
        (turn(role="king"), "line 2: role must be one of"),
        (turn(sensitivity="secret"), "line 2: sensitivity must be one of"),
        (turn(importance=2), "line 2: importance must lie in 0..1"),
        (turn(id=7), "line 2: id must be a string"),
        (turn(id="a"), "line 2: its id is that of line 1 as well"),
        (turn(user=""), "line 2: user must have 1 to 256 characters"),
        ({"used": "b", "at": "2026-02-05T09:00Z"}, "line 2: no turn has the id 'b'"),
        ({"used": "a", "at": "2026-01-04T09:00Z"}, "line 2: 'a' is needed before it was said"),
        ({"used": "a", "at": "2026-02-05T09:00"}, "line 2: at needs an offset"),
        ({"used": "a", "at": "2999-02-05T09:00Z"}, "line 2: at lies more than a day in the future"),
        ({"used": "a"}, 'line 2: what was needed is said as {"used"'),
        ({"at": "2026-02-05T09:00Z"}, "line 2: what was needed is said as"),
        ({"used": "a", "asked": "a", "at": "2026-02-05T09:00Z"}, "line 2: what was needed is said as"),
        ({"used": "a", "at": "2026-02-05T09:00Z", "content": "x"}, "line 2: what was needed is said as"),
        ({"used": True, "at": "2026-02-05T09:00Z"}, "line 2: the id of what was needed must be a string"),
        ({"used": None, "at": "2026-02-05T09:00Z"}, "line 2: the id of what was needed must be a string"),
        ({"used": "s", "at": "2026-02-05T09:00Z"}, "line 2: 's' is a system prompt"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_answered(shell: Shell, line: object, said: str) -> None:
    text = written(turn(id="a"), line, turn(id="s", role="system"))
    message = refused(shell, text)
    assert message.startswith(f"InvalidInputError: {said}")


def test_a_naive_time_is_refused_in_the_words_of_the_importer(shell: Shell) -> None:
    text = written(turn(time="2026-01-05T09:00"))
    imported = shell.refusal("add", "-", text=text)["message"]
    assert imported.startswith(refused(shell, text).removeprefix("InvalidInputError: "))


def test_what_is_no_text_is_refused(shell: Shell) -> None:
    assert "not UTF-8" in refused(shell, b'{"content": "\xff\xfe"}\n')


def test_a_missing_file_is_refused(shell: Shell) -> None:
    result = shell.run("tune", "--input", "nowhere.jsonl", "--json")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_no_store_of_the_environment_is_looked_at(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERED_MEMORY_DATA_DIR", os.devnull)
    assert answer(shell, "--policy", "default", text=written(turn()))["turns"] == 1


# --- the document --------------------------------------------------------------------------------------------


def test_the_document_prints_what_the_command_prints(shell: Shell) -> None:
    """After a change of scores or of the default policy: run the example again and paste what it prints."""
    document = (BESIDE_THE_PACKAGE / "docs" / "tuning.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(python|sh|text)\n(.*?)```", document, re.DOTALL))
    exec(compile(blocks["python"], "docs/tuning.md", "exec"), {})
    result = shell.run(*blocks["sh"].split()[1:])
    assert result.exit_code == 0, result.stderr
    printed = [line.rstrip() for line in result.stdout.rstrip().splitlines()]
    assert printed == blocks["text"].rstrip().splitlines()
