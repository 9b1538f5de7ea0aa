"""The `pii` benchmark counts what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import pii
from benchmarks.labelled import Gold, Sentence, drawn, read
from benchmarks.suite import Request
from tiered_memory.policy.pii_types import PiiType, Span

TEXT = "mail jo@mail.example, call 555-123-4567"


def marked(text: str, *spans: tuple[str, str]) -> dict[str, Any]:
    places = [(kind, text.index(value), value) for kind, value in spans]
    return {
        "full_text": text,
        "spans": [
            {
                "entity_type": kind,
                "entity_value": value,
                "start_position": at,
                "end_position": at + len(value),
            }
            for kind, at, value in places
        ],
    }


def conversation(*texts: str) -> list[dict[str, Any]]:
    turns = [{"speaker": "Ann", "dia_id": f"D1:{at}", "text": text} for at, text in enumerate(texts)]
    return [{"sample_id": "c", "conversation": {"session_1": turns}, "qa": []}]


@pytest.fixture
def files(tmp_path: Path) -> Request:
    data, turns = tmp_path / "data.json", tmp_path / "turns.json"
    sentences = [
        marked(TEXT, ("EMAIL_ADDRESS", "jo@mail.example"), ("PHONE_NUMBER", "555-123-4567")),
        marked("it is Ann, at 4155550134", ("PERSON", "Ann"), ("PHONE_NUMBER", "4155550134")),
        marked("an unmarked 198.51.100.7"),
    ]
    data.write_text(json.dumps(sentences))
    turns.write_text(json.dumps(conversation("hello", "+1 415 555 0134", "bye", "fine")))
    return Request(data=data, turns=turns)


@pytest.mark.anyio
async def test_the_documented_figures_are_what_they_claim_to_be(files: Request) -> None:
    measured = await pii.run(files)
    results = measured.results
    assert results["pattern_leak_ratio"] == pytest.approx(1 / 3)
    assert results["pattern_precision"] == pytest.approx(2 / 3)
    assert results["false_positives_per_1000_turns"] == 250
    assert results["us_per_kb"] > 0
    assert results["per_type"]["PERSON"] == {"gold": 1, "leaked": 1, "leak_ratio": 1.0}
    assert results["per_type"]["PHONE_NUMBER"]["leak_ratio"] == 0.5
    assert results["per_type"]["IP_ADDRESS"]["precision"] == 0.0
    assert results["per_type"].keys() == pii.PATTERN_TYPES.keys() | {"PERSON"}
    assert measured.config["turns"] == 4
    assert len(pii.missed(results)) == 3
    assert all(table.row_count for table in pii.tables(results))
    json.dumps(results, allow_nan=False)


@pytest.mark.anyio
async def test_without_files_the_project_s_own_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pii, "DRAWN", 200)
    monkeypatch.setattr(pii, "PASSES", 1)
    measured = await pii.run(Request())
    assert measured.config["sentences"] == 200
    assert measured.config["turns"] > 1000
    assert pii.missed(measured.results) == []


def span(start: int, end: int) -> Span:
    return Span(start, end, PiiType.PHONE, 1.0, "test")


@pytest.mark.parametrize(
    ("spans", "leaked"),
    [([], True), ([(5, 20)], False), ([(5, 12), (12, 20)], False), ([(5, 19)], True), ([(4, 21)], False)],
)
def test_one_letter_left_is_a_leak(spans: list[tuple[int, int]], leaked: bool) -> None:
    assert pii.has_leaked(Gold(5, 20, "EMAIL_ADDRESS"), TEXT, [span(*one) for one in spans]) == leaked


@pytest.mark.parametrize(
    ("place", "right"), [((17, 30), True), ((10, 24), True), ((9, 24), False), ((0, 9), False)]
)
def test_half_of_a_right_span_is_marked(place: tuple[int, int], right: bool) -> None:
    gold = [Gold(17, 30, "PHONE_NUMBER")]
    assert pii.is_right(span(*place), gold, "PHONE_NUMBER") == right
    assert not pii.is_right(span(*place), gold, "US_SSN")


def test_drawn_sentences_are_the_same_for_a_seed_and_marked_where_they_say() -> None:
    assert drawn(50, seed=3) == drawn(50, seed=3)
    assert drawn(50, seed=3) != drawn(50, seed=4)
    sentences = drawn(400, seed=1)
    assert {gold.type for one in sentences for gold in one.spans} == pii.PATTERN_TYPES.keys()
    assert any(not one.spans for one in sentences)
    assert all(0 <= gold.start < gold.end <= len(one.text) for one in sentences for gold in one.spans)


def test_reading_refuses_what_is_no_list_of_sentences(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    for raw in ('{"a": 1}', '[{"text": "x"}]', "[1]"):
        path.write_text(raw)
        with pytest.raises(ValueError, match="data"):
            read(path)
    path.write_text(json.dumps([marked("Ann", ("PERSON", "Ann"))]))
    assert read(path) == [Sentence("Ann", (Gold(0, 3, "PERSON"),))]
