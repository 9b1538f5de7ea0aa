"""ForgetBench and its scale on tiny inputs, and the signal it brought: an answer matters more than the same words alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from test_benchmarks import conversation

from benchmarks import forgetting
from benchmarks.__main__ import main
from benchmarks.forget_replay import Regime
from benchmarks.forget_scale import Extent, scale
from benchmarks.suite import Request, Silent
from tiered_memory import Interaction, TieredMemory, User

pytestmark = pytest.mark.anyio

POLICIES = {
    "random", "fifo", "lru", "lfu", "importance", "five_percent_a_day", "agent_memory_server", "recency_importance",
    "power", "clairvoyant", "default",
}  # fmt: skip
FIGURES = {"end", "interleaved_oracle", "interleaved_noisy", "recall_at_10_noisy", "interval_95"}


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([conversation(f"c{number}") for number in range(3)]))
    return path


@pytest.mark.parametrize("full", [False, True])
async def test_forgetting_reports_the_documented_keys(data_file: Path, *, full: bool) -> None:
    results = (await forgetting.run(Request(data=data_file, full=full))).results
    assert results["default_policy"] == "default"
    assert results["split"].keys() == {"tune", "report"}
    assert ("growing" in results) is full
    for figures in (results, *results["split"].values(), *([results["growing"]] if full else [])):
        assert figures["nothing_forgotten"].keys() == {"recall_at_10_noisy"}
        assert figures["budgets"].keys() == figures["optimum"].keys() == {"0.1", "0.2", "0.3", "0.5"}
        for budget, rows in figures["budgets"].items():
            assert rows.keys() == POLICIES
            for row in rows.values():
                assert row.keys() >= FIGURES
                for regime in Regime:
                    assert 0 <= row[regime] <= figures["optimum"][budget][regime] + 1e-9
    assert (results["questions"], results["split"]["tune"]["questions"]) == (6, 4)


async def test_half_of_four_turns_holds_both_that_are_asked_about(data_file: Path) -> None:
    """Thanks is worth nothing and a report is due; of the other two, which are evidence, the optimum loses none."""
    results = (await forgetting.run(Request(data=data_file))).results
    assert results["optimum"]["0.5"]["end"] == pytest.approx(1.0)
    assert results["budgets"]["0.5"]["fifo"]["end"] == pytest.approx(0.5)
    assert results["budgets"]["0.1"]["default"]["end"] == 0  # a tenth of four turns is none
    assert results["nothing_forgotten"]["recall_at_10_noisy"] == pytest.approx(1.0)


async def test_the_same_seed_measures_the_same(data_file: Path) -> None:
    one, same = [await forgetting.run(Request(data=data_file, seed=3)) for _ in range(2)]
    assert one == same


async def test_a_policy_of_ones_own_stands_beside_the_default(data_file: Path) -> None:
    results = (await forgetting.run(Request(data=data_file, policy="seed"))).results
    assert results["budgets"]["0.3"].keys() == POLICIES | {"seed"}


def test_the_command_draws_both_charts(
    data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forgetting", "--data", str(data_file), "--plot", str(tmp_path / "plots")]) == 0
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "forgetting_end.svg", "forgetting_interleaved_noisy.svg"
    }  # fmt: skip
    assert "room for 30%" in capsys.readouterr().out


async def test_without_questions_there_is_nothing_to_measure(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{**conversation("c"), "qa": []}]))
    with pytest.raises(ValueError, match="questions"):
        await forgetting.run(Request(data=path))


async def test_a_cycle_touches_what_is_due_however_many_rows_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIERED_MEMORY_REDIS_URL", "local")
    extents = [Extent(total, due=20, due_users=2, rows_per_user=100, cycles=2) for total in (200, 1_000)]
    found = await scale(Silent(), extents)
    assert [(row["rows_total"], row["rows_due"]) for row in found] == [(200, 20), (1_000, 20)]
    assert all(20 <= row["rows_touched"] <= 22 for row in found)
    assert all(row["cycle_ms"] > 0 < row["naive_ms"] for row in found)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(forgetting._scale_table(found))
    assert "1,000" in shown.get()


async def importances(memory: TieredMemory, name: str, turns: list[str], *, at_once: bool) -> list[float]:
    user = memory.user(name, tenant="acme")
    await user.consent.grant("personalization", notice="n")
    if at_once:
        given = [Interaction(content=content, session="s1") for content in turns]
        return [receipt.importance for receipt in await user.add_many(given)]
    return [(await user.add(content, session="s1")).importance for content in turns]


@pytest.mark.parametrize("at_once", [False, True])
async def test_an_answer_is_more_important_than_the_same_words_alone(
    memory: TieredMemory, *, at_once: bool
) -> None:
    first, last = "We stayed in a barn near Delft.", "In a hotel beside the harbour of Porto."
    answered = await importances(memory, "ann", [first, "Where did Ines stay?", last], at_once=at_once)
    alone = await importances(memory, "bob", [first, "There did Ines stay.", last], at_once=at_once)
    assert answered[0] == alone[0]
    assert answered[2] > alone[2] + 0.01


async def test_a_question_of_another_session_is_not_answered(alice: User) -> None:
    await alice.add("Where did Ines stay?", session="s1")
    receipt = await alice.add("In a hotel beside the harbour of Porto.", session="s2")
    assert "answers a question" not in (await alice.get(receipt.id)).reasons
