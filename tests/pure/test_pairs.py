from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.judging import judged
from benchmarks.pairs import load_pairs, told_together
from benchmarks.registry import find
from benchmarks.suite import Results
from benchmarks.supersession import Outcome, above, charts, summary, tables
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.model import Role

BUNDLED = load_pairs()
ENTRY = {
    "stale": {"content": "I live in Madrid.", "author": "Ann"},
    "current": {"content": "I moved to Lisbon.", "author": "Ann"},
    "distractors": ["I like Madrid.", {"content": "Lisbon is nice.", "role": "assistant"}],
    "question": "Where do I live?",
}


def written(folder: Path, document: object) -> Path:
    path = folder / "pairs.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_bundled_pairs_are_many_and_of_many_styles() -> None:
    assert len(BUNDLED.pairs) >= 160
    assert len(BUNDLED.lookalikes) >= 80
    assert len({pair.style for pair in BUNDLED.pairs}) >= 6
    for split in ("tune", "report"):
        assert sum(pair.split == split for pair in BUNDLED.pairs) == len(BUNDLED.pairs) / 2
        assert sum(one.split == split for one in BUNDLED.lookalikes) >= 40


def test_the_bundled_pairs_are_well_formed() -> None:
    assert len({pair.id for pair in BUNDLED.pairs}) == len(BUNDLED.pairs)
    for pair in BUNDLED.pairs:
        said = [pair.stale, pair.current, *pair.distractors]
        assert 5 <= len(pair.distractors) <= 10
        assert len({one.content for one in said}) == len(said)
        assert pair.days_apart >= 1
        assert pair.question


def test_a_bare_file_of_pairs_is_read(tmp_path: Path) -> None:
    (pair,) = load_pairs(written(tmp_path, [ENTRY])).pairs
    assert (pair.id, pair.style, pair.split, pair.days_apart) == ("pair-0", "unnamed", "report", 30)
    liked, nice = pair.distractors
    assert (liked.content, liked.author, liked.role) == ("I like Madrid.", "Ann", Role.USER)
    assert (nice.author, nice.role) == (None, Role.ASSISTANT)


def test_lookalikes_are_read(tmp_path: Path) -> None:
    negatives = [{"earlier": {"content": "a"}, "later": {"content": "b"}}]
    found = load_pairs(written(tmp_path, {"pairs": [ENTRY], "negatives": negatives}))
    (one,) = found.lookalikes
    assert (one.id, one.earlier.content, one.later.content) == ("negative-0", "a", "b")


def test_what_is_no_file_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load_pairs(written(tmp_path, [{"stale": {"content": "a"}}]))


@pytest.mark.parametrize("per_user", [1, 7, 20, 1000])
def test_every_pair_is_told_once_in_the_order_of_time(per_user: int) -> None:
    told = told_together(BUNDLED.pairs, per_user)
    turns = [turn for one in told for turn in one.turns]
    assert len(turns) == sum(2 + len(pair.distractors) for pair in BUNDLED.pairs)
    assert len({turn.id for turn in turns}) == len(turns)
    assert sum(len(one.questions) for one in told) == len(BUNDLED.pairs)
    for conversation in told:
        times = [turn.occurred_at for turn in conversation.turns]
        assert times == sorted(times)


def test_the_current_statement_comes_its_days_after_the_stale_one() -> None:
    (conversation,) = told_together(BUNDLED.pairs[:1])
    when = {turn.id.rpartition("/")[2]: turn.occurred_at for turn in conversation.turns}
    apart = timedelta(days=BUNDLED.pairs[0].days_apart)
    assert timedelta(0) <= apart - (when["current"] - when["stale"]) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("ranked", "expected"),
    [
        (["p/current", "p/stale"], True),
        (["p/0", "p/current"], True),
        (["p/stale", "p/current"], False),
        (["p/stale"], False),
        ([], False),
    ],
)
def test_what_counts_as_above(tmp_path: Path, ranked: list[str], expected: bool) -> None:
    (pair,) = load_pairs(written(tmp_path, [ENTRY | {"id": "p"}])).pairs
    assert above(pair, ranked) is expected


def test_a_summary_counts_shares(tmp_path: Path) -> None:
    (pair,) = load_pairs(written(tmp_path, [ENTRY | {"id": "p"}])).pairs
    right = Outcome(pair, ["p/current"], ["p/stale", "p/current"])
    wrong = Outcome(pair, ["p/stale"], ["p/stale"])
    assert summary([right, wrong]) == {
        "pairs": 2,
        "current_above_stale_ratio": 0.5,
        "current_above_stale_ratio_without": 0.0,
        "current_in_top_10": 0.5,
        "current_in_top_10_without": 0.5,
    }


def test_results_are_shown(tmp_path: Path) -> None:
    (pair,) = load_pairs(written(tmp_path, [ENTRY | {"id": "p"}])).pairs
    figures = summary([Outcome(pair, ["p/current"], ["p/current"])])
    results: Results = {
        **figures,
        "styles": {"unnamed": figures},
        "splits": {"report": figures},
        "closed": {"stale": 1},
        "baselines": {"bm25": {"current_above_stale_ratio": 0.25}},
        "judge": {"pairs report: updates": 1},
    }
    first, closed, judge = tables(results)
    assert first.row_count == 4
    assert (closed.row_count, judge.row_count) == (1, 1)
    (chart,) = charts(results)
    assert chart.series == {"current above stale": [1.0]}


def test_the_judge_is_counted_per_half() -> None:
    counts = judged(BUNDLED, StaticEmbedder())
    assert sum(counts.values()) == len(BUNDLED.pairs) + len(BUNDLED.lookalikes)
    assert not any(name.startswith("lookalikes") and name.endswith("updates") for name in counts)


def test_the_benchmark_is_registered() -> None:
    assert find("supersession").name == "supersession"
