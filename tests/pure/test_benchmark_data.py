from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import metrics
from benchmarks.datasets import load, parse_session_time
from tiered_memory.model import Role

CONVERSATION = {
    "sample_id": "c1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_10_date_time": "12:05 am on 2 June, 2023",
        "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Late."}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            {"speaker": "Ann", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kite"},
            {"speaker": "assistant", "dia_id": "D2:2", "text": "Nice."},
        ],
        "session_11_date_time": "9:00 am on 3 June, 2023",
    },
    "qa": [
        {
            "question": "What is shared?",
            "answer": "a kite",
            "evidence": ["D2:1; D10:1", "D99:9"],
            "category": 4,
        },
        {"question": "Who?", "answer": "?", "evidence": ["D2:1"], "category": 5},
        {"question": "When?", "answer": "?", "evidence": ["D77:1"], "category": 2},
    ],
}


def test_locomo_schema(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([CONVERSATION]))
    (conversation,) = load(path)
    assert conversation.name == "c1"
    assert conversation.sessions == ("session_2", "session_10")
    assert [one.id for one in conversation.turns] == ["D2:1", "D2:2", "D10:1"]
    first, second, late = conversation.turns
    assert (first.author, first.role, first.text) == ("Ann", Role.USER, "Look! [shares a red kite]")
    assert first.occurred_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert second.occurred_at - first.occurred_at == timedelta(minutes=1)
    assert second.role is Role.ASSISTANT
    assert late.occurred_at == datetime(2023, 6, 2, 0, 5, tzinfo=UTC)


def test_only_answerable_questions_with_existing_evidence_remain(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(CONVERSATION))
    (question,) = load(path)[0].questions
    assert question.evidence == {"D2:1", "D10:1"}
    assert question.category == 4


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    lines = [
        {
            "role": "user",
            "content": "Hi",
            "time": "2026-01-12T08:47:12+01:00",
            "session": "s1",
            "author": "Maya",
        },
        {"role": "assistant", "content": "Hello", "session": "s1"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    (path.parent / "questions.json").write_text(json.dumps([{"question": "Who?", "evidence": [1]}]))
    (conversation,) = load(path)
    assert [one.id for one in conversation.turns] == ["1", "2"]
    assert conversation.turns[0].occurred_at.utcoffset() == timedelta(hours=1)
    assert conversation.turns[1].occurred_at.tzinfo is not None
    assert conversation.questions[0].evidence == {"1"}


def test_an_unreadable_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        parse_session_time("some day")


def test_recall() -> None:
    assert metrics.recall_at(["a", "b", "c"], ["c", "a", "x", "y"], 2) == 0.25
    assert metrics.recall_at(["a", "b", "c"], ["c"], 3) == 1.0


def test_area_under_curve() -> None:
    assert metrics.area_under_curve([0.1, 0.9], [False, True]) == 1.0
    assert metrics.area_under_curve([0.5, 0.5, 0.5], [False, True, False]) == 0.5
    assert metrics.area_under_curve([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    with pytest.raises(ValueError, match="both"):
        metrics.area_under_curve([1.0], [True])


def test_evidence_kept() -> None:
    assert metrics.evidence_kept(["a", "b", "c", "d"], [["a"], ["b", "d"], ["c"]], 0.5) == [1.0, 0.5, 0.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_percentiles_lie_within(values: list[float]) -> None:
    assert metrics.percentile(values, 0) == min(values)
    assert metrics.percentile(values, 100) == max(values)
    assert min(values) <= metrics.percentile(values, 37) <= max(values)


def test_the_bootstrap_is_seeded_and_holds_the_mean() -> None:
    groups = {"a": [0.2, 0.4], "b": [0.6], "c": [0.9, 0.8, 0.7], "empty": []}
    low, high = metrics.bootstrap_interval(groups, seed=7)
    assert (low, high) == metrics.bootstrap_interval(groups, seed=7)
    assert low < 0.6 < high
