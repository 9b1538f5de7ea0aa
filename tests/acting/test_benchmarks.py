"""Each benchmark on a tiny input: the documented keys are there, and the figures are what they claim to be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ablation, importance, latency, retrieval
from benchmarks.__main__ import main, write_json
from benchmarks.charts import Chart, svg_of
from benchmarks.datasets import Conversation, Question, load
from benchmarks.latency_reads import Reads
from benchmarks.latency_writes import Writes
from benchmarks.registry import MODULES, find
from benchmarks.retrieval import Answer, summary
from benchmarks.store import policy_named, within
from benchmarks.suite import Request
from benchmarks.synthetic import Writer

pytestmark = pytest.mark.anyio

RECALLS = {"recall_at_5", "recall_at_10", "recall_at_20", "recall_at_50"}
SESSION_RECALLS = {"session_recall_at_5", "session_recall_at_10"}
FIGURES = RECALLS | SESSION_RECALLS | {"questions", "interval_95"}


def turn(number: int, text: str, speaker: str) -> dict[str, str]:
    return {"speaker": speaker, "dia_id": f"D1:{number}", "text": text}


def conversation(name: str) -> dict[str, Any]:
    return {
        "sample_id": name,
        "conversation": {
            "session_1_date_time": "9:15 am on 3 May, 2023",
            "session_1": [
                turn(1, "I adopted a grey cat called Pixel from the shelter.", "Ann"),
                turn(2, "thanks!", "Bo"),
                turn(3, "My sister Ines moved to Porto to open a bakery.", "Bo"),
                turn(4, "The quarterly report is due on Friday at noon.", "Ann"),
            ],
        },
        "qa": [
            {"question": "Which cat did Ann adopt?", "evidence": ["D1:1"], "category": 4},
            {"question": "Where did Ines open a bakery?", "evidence": ["D1:3"], "category": 4},
        ],
    }


@pytest.fixture(params=[1, 2], ids=["one conversation", "two conversations"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([conversation(f"c{number}") for number in range(request.param)]))
    return path


@pytest.fixture(autouse=True)
def _no_own_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ablation, "OWN_SETS", tmp_path / "none")


async def test_retrieval_finds_what_was_asked_and_reports_the_documented_keys(data: Path) -> None:
    measured = await retrieval.run(Request(data=data))
    results = measured.results
    assert results.keys() >= FIGURES | {"baselines", "default_policy", "split", "ablation"}
    assert results["baselines"].keys() == {"vector", "bm25"}
    assert results["split"].keys() == {"tune", "report"}
    for figures in (*results["baselines"].values(), *results["split"].values(), results["default_policy"]):
        assert figures.keys() >= FIGURES
    assert results["recall_at_10"] == results["session_recall_at_5"] == 1.0
    assert results["ablation"]["with everything"]["data.json, all"] == 1.0
    assert results["searchable_ratio"] == 1.0
    assert measured.config["forgetting_cycles"] == 0
    assert results["questions"] == 2 * measured.config["conversations"]


async def test_the_gate_as_shipped_loses_small_talk_once_hot_has_expired(data: Path) -> None:
    measured = await retrieval.run(Request(data=data))
    assert measured.results["default_policy"]["searchable_ratio"] == 0.75
    assert measured.config["policy"].startswith("open@")


async def test_importance_ranks_evidence_and_shows_the_demo_lines(data: Path) -> None:
    results = (await importance.run(Request(data=data))).results
    assert results["evidence_kept"].keys() == {"0.1", "0.2", "0.3", "0.5"}
    assert results["evidence_kept"]["0.1"] == 0.0  # a tenth of four turns is none
    assert 0.0 <= results["auc"] <= 1.0
    assert all(line.keys() == {"text", "importance", "low", "high"} for line in results["demo_lines"])
    assert len(results["demo_lines"]) == 5


async def test_a_turn_that_was_merged_is_found_where_its_memory_is(tmp_path: Path) -> None:
    """Evidence that repeats an earlier turn is no miss, and takes no second place either."""
    told = conversation("c")
    told["conversation"]["session_1"].append(
        turn(5, "I adopted a grey cat called Pixel from the shelter.", "Ann")
    )
    told["qa"] = [{"question": "Which cat did Ann adopt?", "evidence": ["D1:1", "D1:5"], "category": 4}]
    (tmp_path / "merged.json").write_text(json.dumps([told]))
    results = (await retrieval.run(Request(data=tmp_path / "merged.json"))).results
    assert results["recall_at_5"] == 1.0
    assert results["searchable_ratio"] == 0.8


async def test_the_gate_s_curve_falls_and_ends_open(data: Path) -> None:
    results = (await importance.run(Request(data=data))).results
    by_threshold = [point for point in results["gate_curve"] if "threshold" in point]
    for name in ("evidence_kept", "turns_share", "bytes_share"):
        values = [point[name] for point in by_threshold]
        assert values == sorted(values, reverse=True)
        assert values[0] == 1.0
    assert len(results["gate_curve"]) > len(by_threshold) > 5
    assert [chart.name for chart in importance.charts(results)] == ["importance", "gate"]
    assert len(importance.tables(results)) == 3


TINY = latency.Extent(
    reads=Reads(sizes=(3, 40), queries=2, reopenings=1),
    writes=Writes(adds=3, seconds=0.05, users=3, callers=4),
    raw_calls=2,
    footprint=(2, 3),
    imports=1,
)


async def test_latency_reports_the_documented_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", "local")
    measured = await latency.measure(Request(), TINY)
    results = measured.results
    for name, keys in {
        "search": {"p50_ms", "p99_ms"},
        "context": {"p50_ms", "p99_ms"},
        "first_touch": {"p50_ms"},
    }.items():
        assert results[name].keys() == {"3", "40"}
        assert all(figures.keys() == keys for figures in results[name].values())
    wanted = {"p50_ms", "p99_ms", "per_second_32_callers", "seconds", "backlog_drained_s"}
    assert results["add"].keys() >= wanted
    assert results["raw"].keys() == {"journal_commit_ms", "redis_ms", "embed_ms", "scan_ms"}
    assert results["raw"]["scan_ms"].keys() == {"3", "40"}
    assert results["memory"].keys() == {"store_mib", "active_100_users_mib"}
    assert all(math.isfinite(results[name]) for name in ("import_ms", "import_face_ms"))
    assert measured.config["hot"] == "in this process"
    assert all(table.row_count for table in latency.tables(results))


def test_the_command_writes_the_document_and_the_charts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plots = tmp_path / "out.json", tmp_path / "plots"
    arguments = ["importance", "--data", str(data), "--seed", "7", "--json", str(out), "--plot", str(plots)]
    assert main(arguments) == 0
    document = json.loads(out.read_text())
    assert document.keys() == {"benchmark", "version", "config", "machine", "results"}
    assert (document["benchmark"], document["version"], document["config"]["seed"]) == ("importance", 1, 7)
    assert document["machine"]["python"]
    assert (plots / "importance.svg").read_text().startswith("<svg")
    assert "evidence kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["retrieval", "--data", "absent.json"], "FileNotFoundError"),
        (["importance", "--policy", "nonesuch"], "PolicyError"),
    ],
)
def test_a_mistake_is_told_and_is_an_error(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert told in capsys.readouterr().err


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["speed"])
    assert stopped.value.code == 2
    assert "retrieval" in capsys.readouterr().err


def test_a_document_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json({"results": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"results": math.nan}, path)
    assert json.loads(path.read_text()) == {"results": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_every_registered_benchmark_is_found_under_its_name() -> None:
    assert {find(name).name for name in MODULES} == set(MODULES)


def answers(*found: tuple[str, bool]) -> Iterator[Answer]:
    for name, right in found:
        question = Question("?", frozenset({"t1"}), 1)
        yield Answer(name, question, ["t1" if right else "t2"], {"t1": "s1", "t2": "s2"})


def test_a_summary_is_the_mean_over_questions_with_an_interval_around_it() -> None:
    figures = summary(list(answers(("a", True), ("a", False), ("b", True), ("b", True))), seed=1)
    assert figures["recall_at_10"] == 0.75
    low, high = figures["interval_95"]
    assert (low, high) == (0.5, 1.0)


def test_a_summary_of_one_conversation_draws_questions() -> None:
    low, high = summary(list(answers(*[("a", i % 2 == 0) for i in range(20)])), seed=1)["interval_95"]
    assert low < 0.5 < high


def test_a_summary_of_nothing_claims_nothing() -> None:
    assert summary([], seed=1) == dict.fromkeys([*RECALLS, *SESSION_RECALLS, "interval_95"]) | {
        "questions": 0
    }


def test_sessions_are_as_good_as_their_best_turn() -> None:
    sessions = {f"t{place}": f"s{place // 3}" for place in range(24)}
    question = Question("?", frozenset({"t15", "t16", "t23"}), 1)
    figures = summary([Answer("a", question, list(sessions), sessions)], seed=1)
    assert figures["session_recall_at_5"] == 0.0
    assert figures["session_recall_at_10"] == 1.0
    assert figures["recall_at_10"] == 0.0


def test_quick_takes_whole_conversations_and_always_the_first(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([conversation("a"), conversation("b"), conversation("c")]))
    found: list[Conversation] = load(path)
    assert [one.name for one in within(found, 9)] == ["a", "b"]
    assert [one.name for one in within(found, 1)] == ["a"]


def test_a_policy_of_the_suite_is_found_by_name_and_others_stay_as_given() -> None:
    assert policy_named("open").endswith("open.toml")
    assert [policy_named(name) for name in ("default", "my/policy.toml")] == ["default", "my/policy.toml"]


def test_the_same_seed_writes_the_same_texts_and_they_vary() -> None:
    texts = Writer(5).messages(200)
    assert texts == Writer(5).messages(200)
    assert len(set(texts)) > 190
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) < 12
    assert max(lengths) > 40
    assert all(question.endswith("?") for question in Writer(5).questions(20))


def test_a_chart_escapes_its_texts_and_draws_every_line() -> None:
    svg = svg_of(Chart("c", "a < b", ["1", "2"], {"one": [0.0, 0.0], "two": [1.0, 2.0]}))
    assert "a &lt; b" in svg
    assert svg.count("<polyline") == 2
