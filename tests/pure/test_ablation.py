from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import ablation
from benchmarks.ablation import LEVERS, Lever, ablate, cost_of, mean_recall, prepare
from benchmarks.datasets import Conversation, Question, Turn
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.model import Role
from tiered_memory.scoring.ranking import DEFAULT_WEIGHTS, TERMS, rank

BEGUN = datetime(2023, 5, 1, 9, tzinfo=UTC)
EMBEDDER = StaticEmbedder()


def conversation(name: str, questions: int = 2) -> Conversation:
    lines = [
        ("Ann", "I adopted a grey cat called Pixel from the shelter."),
        ("Bo", "Lovely! How old is she?"),
        ("Ann", "Three, they think."),
        ("Bo", "My sister purchased a bakery in Porto yesterday."),
        *(("Ann", f"Nothing new about the roof, week {week}.") for week in range(20)),
    ]
    turns = tuple(
        Turn(f"t{place}", f"s{place // 4}", author, Role.USER, text, BEGUN + timedelta(days=place))
        for place, (author, text) in enumerate(lines)
    )
    asked = (
        Question("What is the name of Ann's cat?", frozenset({"t0"}), 4),
        Question("Where did the sister buy something in May 2023?", frozenset({"t3"}), 4),
    )
    return Conversation(name, turns, asked[:questions])


def test_what_is_prepared_is_what_a_search_finds() -> None:
    one = prepare(conversation("c"), EMBEDDER)
    assert len(one.index) == 24
    for question, query, found in one.asked:
        assert {hit.id for hit in rank(found, 3)} >= question.evidence
        assert query.now_us is not None
        assert query.related


def test_everything_is_on_unless_it_is_left_out() -> None:
    assert Lever("nothing").weights == DEFAULT_WEIGHTS
    for lever in LEVERS:
        changed = [name for name in DEFAULT_WEIGHTS.__slots__ if getattr(lever.weights, name) == 0.0]
        assert set(changed) == set(lever.without)
    assert len({lever.name for lever in LEVERS}) == len(LEVERS)


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.name)
def test_a_lever_left_out_leaves_no_term(lever: Lever) -> None:
    gone = set(lever.without) & set(TERMS)
    one = prepare(conversation("c"), EMBEDDER)
    for _, query, found in one.asked:
        left = one.index.candidates(lever.ask(query)) if lever.without == {} else found
        assert all(gone.isdisjoint(hit.terms) for hit in rank(left, 24, lever.weights))


def test_a_lever_of_the_question_is_left_out_of_the_search() -> None:
    related = next(lever for lever in LEVERS if lever.name == "related words")
    one = prepare(conversation("c"), EMBEDDER)
    _, query, found = one.asked[1]
    without = one.index.candidates(related.ask(query))
    lexical = {name: arms[1] for name, arms in zip(found.ids, found.arms.T, strict=True)}
    unrelated = {name: arms[1] for name, arms in zip(without.ids, without.arms.T, strict=True)}
    assert lexical["t3"] > unrelated["t3"]


def test_figures_are_given_for_each_set(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(ablation, "OWN_SETS", tmp_path)
    steps: list[int] = []
    results = ablate([conversation("c"), conversation("d")], "data", lambda: steps.append(1))
    assert list(results) == [
        "with everything",
        *(f"without {lever.name}" for lever in LEVERS),
        "without passages",
    ]
    assert results["with everything"] == {"data, all": 1.0, "data, report half": 1.0}
    assert len(steps) == len(LEVERS)
    for lever in LEVERS:
        figures = results[f"without {lever.name}"]
        assert 0.0 <= figures["data, all"] <= 1.0
        assert figures["cost"] > 0


def test_passages_can_be_left_out() -> None:
    long = (
        conversation("c").turns[0].text + " The harbour wall was built long ago by the same two people." * 30
    )
    turns = (Turn("long", "s", "Ann", Role.USER, long, BEGUN), *conversation("c").turns[1:])
    for passages in (True, False):
        one = prepare(Conversation("c", turns, conversation("c").questions[:1]), EMBEDDER, passages=passages)
        assert bool(one.index._passages._of_turn) == passages


def test_weights_decide_what_is_found() -> None:
    sets = [prepare(conversation("c"), EMBEDDER)]
    turned = Lever(
        "turned round", dict.fromkeys(("lexical", "context_lexical", "vector", "context_vector"), -1.0)
    )
    assert mean_recall(sets, turned) == 0.0
    assert mean_recall(sets, Lever("nothing")) == 1.0


def test_no_questions_no_figures() -> None:
    sets = [prepare(conversation("c", questions=0), EMBEDDER)]
    assert mean_recall(sets, Lever("nothing")) is None
    assert cost_of(LEVERS[0], sets) is None
