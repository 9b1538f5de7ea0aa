"""The demo plays a whole life on the real engines, and its facts are what it claims."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cli_shell import BESIDE_THE_PACKAGE
from rich.console import Console
from typer.testing import CliRunner

from tiered_memory.cli.app import build
from tiered_memory.cli.demo.facts import Erasure, Traces
from tiered_memory.cli.demo.render import Teller
from tiered_memory.cli.demo.source import bundled, markers
from tiered_memory.cli.leftovers import _base64, _Finder
from tiered_memory.cli.output import PIPED_WIDTH
from tiered_memory.model import Certificate, TierErasure
from tiered_memory.scoring.text import analyze

SEED = {
    "I'm getting a database timeout error": ("cold", 0.5, 1.0),
    "Let's debug this step by step": ("cold", 0.3, 0.8),
    "I prefer concise code examples": ("cold", 0.7, 1.0),
    "I'll keep that in mind": ("warm", 0.0, 0.2),
    "What's the weather like?": ("warm", 0.0, 0.2),
}
START = datetime(2026, 2, 1, 9, tzinfo=UTC)


def play(*arguments: str) -> Any:
    result = CliRunner().invoke(build(), ["demo", "--json", *arguments])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["acts"]


@pytest.fixture(scope="module")
def acts() -> Any:
    return play()


def test_every_act_is_played(acts: Any) -> None:
    assert list(acts) == [
        "opening",
        "before_consent",
        "streaming",
        "searches",
        "context",
        "fading",
        "explain",
        "stats",
        "erasure",
        "closing",
    ]


def test_before_consent_nothing_durable_is_written(acts: Any) -> None:
    assert acts["before_consent"]["receipt"]["durability"] == "ephemeral"
    assert "cold" not in acts["before_consent"]["receipt"]["tiers"]
    assert "no consent" in acts["before_consent"]["refusal"]


def test_the_whole_conversation_came_in(acts: Any) -> None:
    streaming = acts["streaming"]
    assert streaming["turns"] >= 150
    assert sum(streaming["by_tier"].values()) == streaming["turns"]
    assert streaming["virtual_days"] > 120
    assert streaming["forgotten"] > 0


@pytest.mark.parametrize("line", SEED)
def test_the_seeds_lines_are_routed_as_they_should(acts: Any, line: str) -> None:
    tier, low, high = SEED[line]
    (decision,) = (one for one in acts["streaming"]["decisions"] if one["content"].startswith(line))
    assert decision["tier"] == tier
    assert low <= decision["importance"] <= high
    assert decision["seed_importance"] is not None


def test_spaced_use_makes_memories_last(acts: Any) -> None:
    assert acts["streaming"]["used"]
    for one in acts["streaming"]["used"]:
        assert one["lasts_days"] > one["untouched_days"] > 0


def test_a_changed_fact_is_found_as_it_is_now(acts: Any) -> None:
    first, *others = acts["searches"]["searches"][0]["hits"]
    assert "PostgreSQL 16" in first["memory"]["content"]
    assert first["memory"]["supersedes"]
    assert not any("primary runs PostgreSQL 14" in hit["memory"]["content"] for hit in others)


def test_meaning_finds_what_shares_no_word(acts: Any) -> None:
    search = acts["searches"]["searches"][1]
    (told,) = (hit for hit in search["hits"][:3] if "hazelnuts" in hit["memory"]["content"])
    said, asked = (analyze(text).terms for text in (told["memory"]["content"], search["question"]))
    assert not said.keys() & asked.keys()


def test_the_terms_of_every_hit_add_up(acts: Any) -> None:
    for search in acts["searches"]["searches"]:
        for hit in search["hits"]:
            assert sum(hit["terms"].values()) == pytest.approx(hit["score"], abs=1e-6)


def test_the_context_keeps_its_budget_and_says_what_it_left_out(acts: Any) -> None:
    context = acts["context"]
    assert sum(piece["tokens"] for piece in context["pieces"]) <= context["tokens"] <= context["token_budget"]
    assert any("hazelnuts" in piece["content"] for piece in context["pieces"])
    assert sum(context["left_out_by_reason"].values()) >= len(context["left_out"]) > 0


def test_months_weaken_what_is_unused_and_strengthen_what_is_used(acts: Any) -> None:
    memories = acts["fading"]["memories"]
    used = [one["strengths"] for one in memories if one["used"]]
    unused = [[now or 0.0 for now in one["strengths"]] for one in memories if not one["used"]]
    assert all(strengths[-1] > strengths[0] for strengths in used)
    assert all(later <= earlier for one in unused for earlier, later in pairwise(one))
    assert any(one["strengths"][-1] is None for one in memories)


def test_forgetting_does_what_its_dry_run_said_and_can_be_undone(acts: Any) -> None:
    fading = acts["fading"]
    assert fading["dry_run_forgotten"] == fading["cycle_forgotten"] >= 1
    assert all(one["strength"] <= 0.1 for one in fading["announced"] if one["rule"] == "decay")
    assert fading["undone"]["found_again"]
    assert fading["undone"]["strength_after"] > fading["undone"]["strength_before"]
    assert sum(month["forgotten"] for month in fading["months"]) > 0


def test_statistics_agree_with_what_is_listed(acts: Any) -> None:
    stats, held = acts["stats"]["stats"], acts["fading"]["months"][-1]["held"]
    assert stats["by_state"]["active"] == held == sum(stats["importance_histogram"])
    assert stats["subjects"] == 1


def test_the_erasure_leaves_nothing_and_proves_it(acts: Any) -> None:
    erasure = acts["erasure"]
    assert erasure["listed_before"] > 0
    assert all(count > 0 for count in erasure["hits_before"].values())
    assert erasure["listed_after"] == 0
    assert not any(erasure["hits_after"].values())
    assert erasure["leftovers"] == 0
    assert len(erasure["markers"]) == 3
    assert erasure["traces_before"]["cold_tables"] == 1
    assert erasure["traces_after"]["cold_tables"] == 0
    assert erasure["traces_after"]["redis_keys"] == 0
    assert erasure["traces_after"]["values_decoded"] > 0
    assert erasure["certificate"]["verified"]
    assert erasure["certificate"]["keys_destroyed"] >= 1
    assert erasure["signature_verified"]
    assert erasure["altered_certificate_refused"]


@pytest.mark.parametrize("rows", [0, 7])
def test_the_verdict_owns_up_to_rows_that_statistics_keep(rows: int) -> None:
    empty = Traces(
        files=1, bytes=1, cold_tables=0, redis_keys=0, analytics_rows=rows, values_decoded=1, found={"a": 0}
    )
    tier = TierErasure("cold", 1, "dropped", verified=True)
    certificate = Certificate(
        id="1",
        requested_at=START,
        finished_at=START,
        reason="r",
        generation=1,
        subject_commitment="c" * 64,
        salt="s",
        keys_destroyed=2,
        tiers=(tier,),
        retained=(),
        verified=True,
        software_version="1",
        ledger_leaf="1",
        public_key="p" * 64,
        signature="s",
    )
    act = Erasure(
        user="a",
        markers=(),
        hits_before={},
        hits_after={},
        listed_before=1,
        listed_after=0,
        traces_before=empty,
        traces_after=empty,
        leftovers=0,
        milliseconds=1.0,
        certificate=certificate,
        signature_verified=True,
        altered_certificate_refused=True,
    )
    screen = Console(file=io.StringIO(), width=100)
    Teller(screen).tell(act)
    assert (f"still hold {rows} rows" in " ".join(screen.file.getvalue().split())) == bool(rows)  # type: ignore[attr-defined]


def test_the_temporary_directory_is_gone(acts: Any) -> None:
    assert acts["opening"]["temporary"]
    assert not Path(acts["opening"]["data_dir"]).exists()


def test_told_to_a_pipe_it_is_plain_and_narrow() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tiered_memory", "demo"],
        capture_output=True,
        text=True,
        check=True,
        cwd=BESIDE_THE_PACKAGE,
    )
    assert "\x1b" not in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= PIPED_WIDTH
    assert "No id and no word is left." in told.stdout
    assert told.stderr == ""


# --- conversations of one's own ------------------------------------------------------------------------------


def test_a_file_of_lines_is_played_and_plays_alike_twice(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    said = [
        ("Petra", "Please remember that our warehouse in Rotterdam closes on Fridays"),
        ("Otto", "ok"),
        ("Petra", "We decided to replace the conveyor belt before November"),
        ("Otto", "The maintenance contract costs 1200 euros a month"),
    ]
    turns = [
        {
            "content": content,
            "author": who,
            "time": (START + timedelta(days=9 * n)).isoformat(),
            "session": f"s{n}",
        }
        for n, (who, content) in enumerate(said)
    ]
    source.write_text("\n".join(map(json.dumps, turns)), encoding="utf-8")
    first, second = play("--input", str(source)), play("--input", str(source))
    assert first["opening"]["user"] == "demo.petra"
    assert first["streaming"]["turns"] == 4
    assert first["erasure"]["leftovers"] == 0
    assert first["erasure"]["signature_verified"]
    assert _content(first) == _content(second)


def _content(acts: Any) -> Any:
    """Return what does not depend on chance or speed."""
    streaming, fading = acts["streaming"], acts["fading"]
    hits = [[hit["memory"]["content"] for hit in one["hits"]] for one in acts["searches"]["searches"]]
    memories = [(one["content"], one["strengths"], one["deadline"]) for one in fading["memories"]]
    return streaming["decisions"], hits, acts["context"]["pieces"], memories, fading["months"]


def _locomo() -> list[Any]:
    def conversation(place: str) -> Any:
        return {
            "conversation": {
                "speaker_a": "Rosalind",
                "speaker_b": "Boris",
                "session_2_date_time": "10:05 am on 3 March, 2024",
                "session_2": [
                    {
                        "speaker": "Boris",
                        "dia_id": "D2:1",
                        "text": "Did you ever repaint it?",
                        "blip_caption": "a door",
                    }
                ],
                "session_1_date_time": "1:56 pm on 8 February, 2024",
                "session_1": [
                    {"speaker": "Rosalind", "dia_id": "D1:1", "text": f"I moved to {place} with my sister"},
                    {"speaker": "Boris", "dia_id": "D1:2", "text": "Wow!"},
                ],
            },
            "qa": [
                {
                    "question": "Where does Rosalind live?",
                    "answer": place,
                    "evidence": ["D1:1"],
                    "category": 4,
                }
            ],
        }

    return [conversation("Lyon"), conversation("Antwerp")]


def test_a_file_in_locomos_shape_is_played(tmp_path: Path) -> None:
    source = tmp_path / "talks.json"
    source.write_text(json.dumps(_locomo()), encoding="utf-8")
    acts = play("--input", str(source), "--conversation", "2", "--data", str(tmp_path / "stage"))
    assert acts["opening"]["user"] == "demo.rosalind"
    assert acts["streaming"]["turns"] == 3
    assert acts["opening"]["first"].startswith("2024-02-08T13:56")
    search = acts["searches"]["searches"][0]
    assert search["question"] == "Where does Rosalind live?"
    assert any("Antwerp" in hit["memory"]["content"] for hit in search["hits"])
    assert acts["erasure"]["leftovers"] == 0
    assert (tmp_path / "stage" / "state.db").exists()


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        (json.dumps(_locomo()), ("--conversation", "3"), "2 conversations"),
        ('{"content": "no time"}\n', (), "time"),
        ("", (), "no turns"),
        ("{oops\n", (), "line 1"),
        ('{"conversation": {"session_1": [{"speaker": "A", "text": "x"}]}}', (), "session_1_date_time"),
    ],
    ids=["number", "no time", "empty", "broken", "no date"],
)
def test_a_bad_conversation_is_refused(
    tmp_path: Path, text: str, arguments: tuple[str, ...], says: str
) -> None:
    source = tmp_path / "talk"
    source.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(build(), ["demo", "--json", "--input", str(source), *arguments])
    assert result.exit_code == 1
    assert says in json.loads(result.stderr)["message"]


def test_a_demo_never_plays_in_a_directory_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    result = CliRunner().invoke(build(), ["demo", "--json", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"] == "ConfigurationError"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# --- the search for leftovers can find something --------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "all about Hazelnuts",
        b"\x00hazelnuts\xff",
        "hazelnuts".encode("utf-16-le"),
        {"a": [("deep", b"hazelNUTS")]},
        b"68617a656c6e757473",
        b"eGhhemVsbnV0cw==",
    ],
    ids=["text", "bytes", "utf-16", "nested", "hex", "base64"],
)
def test_leftovers_are_seen_in_every_dress(value: object) -> None:
    finder = _Finder(["hazelnuts"])
    finder.look(value)
    assert finder.found["hazelnuts"] == 1


def test_leftovers_are_not_seen_where_none_are() -> None:
    finder = _Finder(["hazelnuts"])
    finder.look_all(["hazel nuts", b"walnuts", None, 7])
    assert finder.found["hazelnuts"] == 0
    assert all(len(piece) >= 10 for piece in _base64("hazelnuts"))


def test_markers_are_telling_words_of_the_content() -> None:
    found = markers([turn.content for turn in bundled().turns], avoid="maya.lindqvist")
    assert len(found) == 3
    assert not set(found) & {"maya", "lindqvist"}
