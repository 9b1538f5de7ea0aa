"""Trimming a buffer and packing a prompt: within the budget, in order, nothing lost unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Context, Role
from tiered_memory.scoring.packing import (
    CUT,
    IN_RECALLED,
    IN_RECENT,
    OVER_BUDGET,
    RECALLED,
    RECENT,
    SUMMARY,
    SYSTEM,
    BufferedTurn,
    Piece,
    Sections,
    pack,
    trim,
)
from tiered_memory.scoring.tokens import count_tokens

START = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = st.sampled_from(Role)
WORDS = st.text("abcd efg .,1你", max_size=60)


def count_words(text: str) -> int:
    return len(text.split())


def turn(order: int, role: Role = Role.USER, content: str = "hello there", **fields: object) -> BufferedTurn:
    known = {"tokens": count_tokens(content), "importance": 0.5} | fields
    return BufferedTurn(
        id=f"t{order}",
        order=order,
        role=role,
        content=content,
        occurred_at=START + timedelta(minutes=order),
        **known,  # type: ignore[arg-type]
    )


@st.composite
def talks(draw: st.DrawFn, max_size: int = 14) -> list[BufferedTurn]:
    size = draw(st.integers(0, max_size))
    ids = st.none() | st.sampled_from([f"m{number}" for number in range(6)])
    return [
        turn(
            order,
            draw(ROLES),
            draw(WORDS),
            tokens=draw(st.integers(0, 40)),
            importance=draw(st.floats(0, 1)),
            pinned=draw(st.sampled_from([False, False, False, True])),
            memory_id=draw(ids),
        )
        for order in range(size)
    ]


def piece(content: str, memory_id: str | None = None, role: Role = Role.USER) -> Piece:
    return Piece(content=content, role=role, occurred_at=START, memory_id=memory_id)


@st.composite
def sections(draw: st.DrawFn) -> Sections:
    ids = st.none() | st.sampled_from([f"m{number}" for number in range(6)])
    return Sections(
        system=[piece(text, role=Role.SYSTEM) for text in draw(st.lists(WORDS, max_size=2))],
        summary=[piece(text, role=Role.SYSTEM) for text in draw(st.lists(WORDS, max_size=2))],
        recalled=[piece(text, draw(ids)) for text in draw(st.lists(WORDS, max_size=6))],
        recent=draw(talks(8)),
    )


# --- trim ----------------------------------------------------------------------------------------------------


def protected(turns: Sequence[BufferedTurn]) -> set[str]:
    """What trimming must keep: pinned and opening system turns, last user message, newest message."""
    opening = next((at for at, held in enumerate(turns) if held.role is not Role.SYSTEM), len(turns))
    users = [held for held in turns if held.role is Role.USER]
    kept = [*turns[:opening], *(held for held in turns if held.pinned), *users[-1:], *turns[-1:]]
    return {held.id for held in kept}


@given(talks(), st.integers(0, 300))
def test_trimming_accounts_for_every_turn_once_and_keeps_order(
    turns: list[BufferedTurn], budget: int
) -> None:
    result = trim(turns, budget)
    assert sorted([*result.kept, *result.dropped], key=lambda held: held.order) == turns
    assert list(result.kept) == sorted(result.kept, key=lambda held: held.order)
    assert result.tokens == sum(max(1, held.tokens) for held in result.kept)


@given(talks(), st.integers(0, 300))
def test_trimming_keeps_prompts_and_the_latest_messages(turns: list[BufferedTurn], budget: int) -> None:
    assert protected(turns) <= {held.id for held in trim(turns, budget).kept}


@given(talks(), st.integers(0, 300))
def test_trimming_exceeds_the_budget_only_by_what_it_must_keep(
    turns: list[BufferedTurn], budget: int
) -> None:
    result = trim(turns, budget)
    assert result.tokens <= budget or {held.id for held in result.kept} == protected(turns)


@given(talks(), st.integers(0, 300))
def test_the_latest_exchange_is_whole_while_it_fits(turns: list[BufferedTurn], budget: int) -> None:
    users = [at for at, held in enumerate(turns) if held.role is Role.USER]
    latest = turns[users[-1] :] if users else turns[-1:]
    needed = {held.id for held in latest} | protected(turns)
    if sum(max(1, held.tokens) for held in turns if held.id in needed) <= budget:
        assert needed <= {held.id for held in trim(turns, budget).kept}


@given(talks(), st.integers(0, 300))
def test_trimming_again_changes_nothing(turns: list[BufferedTurn], budget: int) -> None:
    once = trim(turns, budget)
    again = trim(once.kept, budget)
    assert again.kept == once.kept
    assert again.dropped == ()


def test_a_short_talk_stays_whole() -> None:
    talk = [turn(0, Role.SYSTEM, "You help with code.", pinned=True)]
    talk += [
        turn(order, (Role.USER, Role.ASSISTANT)[(order + 1) % 2], "word " * 11) for order in range(1, 15)
    ]
    assert 150 <= sum(held.tokens for held in talk) <= 200
    assert trim(talk, 1000).kept == tuple(talk)


def exchanges(*importances: float) -> list[BufferedTurn]:
    turns = [turn(0, Role.SYSTEM, tokens=10)]
    for importance in importances:
        turns.append(turn(len(turns), Role.USER, tokens=10, importance=importance))
        turns.append(turn(len(turns), Role.ASSISTANT, tokens=10, importance=0.1))
    return turns


def test_alike_the_oldest_exchange_goes_first_and_whole() -> None:
    result = trim(exchanges(0.5, 0.5, 0.5, 0.5), 70)
    assert [held.id for held in result.dropped] == ["t1", "t2"]


def test_an_important_old_exchange_outlives_a_newer_unimportant_one() -> None:
    result = trim(exchanges(0.9, 0.1, 0.5, 0.5), 70)
    assert [held.id for held in result.dropped] == ["t3", "t4"]


def test_a_pinned_turn_stays_when_its_exchange_goes() -> None:
    turns = exchanges(0.5, 0.5, 0.5)
    turns[2] = turn(2, Role.ASSISTANT, tokens=10, pinned=True)
    assert [held.id for held in trim(turns, 60).dropped] == ["t1"]


def test_an_endless_run_of_tools_is_bounded() -> None:
    turns = [turn(0), *(turn(order, Role.TOOL, tokens=10) for order in range(1, 100))]
    result = trim(turns, 100)
    assert result.tokens <= 100
    assert [held.id for held in result.kept][:1] == ["t0"]
    assert [held.id for held in result.kept][-9:] == [f"t{order}" for order in range(91, 100)]


# --- pack ----------------------------------------------------------------------------------------------------


@given(sections(), st.integers(0, 200), st.sampled_from([count_tokens, count_words, len]))
def test_a_context_never_exceeds_its_budget(offered: Sections, budget: int, count: object) -> None:
    context = pack(offered, budget, count)  # type: ignore[arg-type]
    assert context.tokens == sum(item.tokens for item in context.items) <= budget == context.token_budget


@given(sections(), st.integers(0, 200))
def test_the_rendered_text_is_within_the_budget_too(offered: Sections, budget: int) -> None:
    assert count_tokens(pack(offered, budget, count_tokens).render()) <= budget


@given(sections(), st.integers(0, 200))
def test_packing_is_deterministic(offered: Sections, budget: int) -> None:
    assert pack(offered, budget, count_tokens) == pack(offered, budget, count_tokens)


@given(sections(), st.integers(0, 200))
def test_everything_is_in_or_left_out_once(offered: Sections, budget: int) -> None:
    context = pack(offered, budget, count_tokens)
    everything = pack(Sections(system=offered.system, summary=offered.summary), 10**6, count_tokens)
    given_ids = Counter(held.memory_id for held in [*offered.recalled, *offered.recent])
    given_ids[None] += len(everything.items)
    held = Counter(item.memory_id for item in context.items)
    held.update(entry.memory_id for entry in context.left_out if entry.reason != CUT)
    assert held == +given_ids


@given(sections(), st.integers(0, 200))
def test_order_is_preserved(offered: Sections, budget: int) -> None:
    context = pack(offered, budget, count_tokens)
    ranks = [[SYSTEM, SUMMARY, RECALLED, RECENT].index(item.section) for item in context.items]
    assert ranks == sorted(ranks)
    recent = [item.occurred_at for item in context.items if item.section == RECENT]
    assert recent == sorted(recent)  # type: ignore[type-var]
    recalled = [item.content for item in context.items if item.section == RECALLED]
    remaining = iter(held.content for held in offered.recalled)
    assert all(content in remaining for content in recalled)


@given(sections(), st.integers(0, 200))
def test_no_memory_is_both_recalled_and_recent(offered: Sections, budget: int) -> None:
    context = pack(offered, budget, count_tokens)
    recalled = [item.memory_id for item in context.items if item.section == RECALLED and item.memory_id]
    recent = {item.memory_id for item in context.items if item.section == RECENT}
    assert len(recalled) == len(set(recalled))
    assert recent.isdisjoint(recalled)


@given(sections(), st.integers(0, 400))
def test_what_repeats_something_is_left_out_for_it(offered: Sections, budget: int) -> None:
    context = pack(offered, budget, count_tokens)
    held = {item.memory_id for item in context.items}
    repeats = [entry for entry in context.left_out if entry.reason in {IN_RECENT, IN_RECALLED}]
    assert all(entry.memory_id in held for entry in repeats)


@given(sections())
def test_with_room_for_all_only_repeats_are_left_out(offered: Sections) -> None:
    context = pack(offered, 10**6, count_tokens)
    assert {entry.reason for entry in context.left_out} <= {IN_RECENT, IN_RECALLED}
    assert sum(item.section == RECENT for item in context.items) >= min(1, len(talk_of(offered)))


def talk_of(offered: Sections) -> list[BufferedTurn]:
    opening = next(
        (at for at, held in enumerate(offered.recent) if held.role is not Role.SYSTEM), len(offered.recent)
    )
    return [held for held in offered.recent[opening:] if not (held.pinned and held.role is Role.SYSTEM)]


@given(sections(), st.integers(60, 400))
def test_the_newest_message_is_always_there(offered: Sections, budget: int) -> None:
    talk = talk_of(offered)
    context = pack(offered, budget, count_tokens)
    if talk and talk[-1].content:
        newest = [item for item in context.items if item.section == RECENT][-1]
        assert newest.occurred_at == talk[-1].occurred_at
        assert talk[-1].content.startswith(newest.content)


@given(sections(), st.integers(0, 400))
def test_the_latest_exchange_is_whole_while_it_and_the_prompts_fit(offered: Sections, budget: int) -> None:
    talk = talk_of(offered)
    users = [at for at, held in enumerate(talk) if held.role is Role.USER]
    latest = talk[users[-1] :] if users else talk[-1:]
    prompts = [held for held in offered.recent if held not in talk]
    needed = pack(Sections(system=offered.system, recent=[*prompts, *latest]), 10**6, count_tokens).tokens
    context = pack(offered, budget, count_tokens)
    if needed <= budget:
        shown = [item.content for item in context.items if item.section == RECENT]
        assert shown[len(shown) - len(latest) :] == [held.content for held in latest]


def contents(context: Context, section: str) -> list[str]:
    return [item.content for item in context.items if item.section == section]


def test_recalled_memories_are_sure_of_half_of_what_remains() -> None:
    offered = Sections(
        recalled=[piece(f"memory {'x ' * 6}", f"m{number}") for number in range(20)],
        recent=[turn(order, content=f"turn {order} {'y ' * 6}") for order in range(20)],
    )
    context = pack(offered, 400, count_tokens)
    shares = Counter[str]()
    for item in context.items:
        shares[item.section] += item.tokens
    assert 150 <= shares[RECALLED] <= 210
    assert 150 <= shares[RECENT] <= 250


def test_the_latest_exchange_comes_before_what_is_recalled() -> None:
    latest = [
        turn(0, content="question " * 20),
        turn(1, Role.TOOL, "result " * 20),
        turn(2, Role.ASSISTANT, "so " * 20),
    ]
    recalled = [piece(f"memory {'x ' * 6}", f"m{number}") for number in range(20)]
    context = pack(Sections(recalled=recalled, recent=latest), 140, count_tokens)
    assert contents(context, RECENT) == [held.content for held in latest]


def test_room_that_one_side_leaves_goes_to_the_other() -> None:
    recent = [turn(order, content=f"turn {order} {'y ' * 6}") for order in range(10)]
    recalled = [piece(f"memory {number} {'x ' * 6}", f"m{number}") for number in range(10)]
    few_recalled = pack(Sections(recalled=recalled[:1], recent=recent), 150, count_tokens)
    few_recent = pack(Sections(recalled=recalled, recent=recent[:1]), 150, count_tokens)
    assert few_recalled.tokens >= 130
    assert few_recent.tokens >= 130
    assert len(contents(few_recalled, RECENT)) > 5
    assert len(contents(few_recent, RECALLED)) > 4


def test_a_recalled_memory_among_the_recent_turns_is_left_out() -> None:
    offered = Sections(
        recalled=[piece("I like tea", "m1"), piece("I live in Rome", "m2")],
        recent=[turn(1, content="I like tea", memory_id="m1")],
    )
    context = pack(offered, 1000, count_tokens)
    assert contents(context, RECALLED) == ["I live in Rome"]
    assert [(entry.memory_id, entry.reason) for entry in context.left_out] == [("m1", IN_RECENT)]


def test_a_memory_whose_turn_does_not_fit_is_recalled() -> None:
    old = turn(0, content="The deploy key is kept in the blue vault", memory_id="m0")
    filler = [turn(order, content="small talk " * 10) for order in range(1, 20)]
    offered = Sections(recalled=[piece(old.content, "m0")], recent=[old, *filler])
    context = pack(offered, 120, count_tokens)
    assert contents(context, RECALLED) == [old.content]
    assert ("m0", IN_RECALLED) in [(entry.memory_id, entry.reason) for entry in context.left_out]


def test_content_is_cut_as_a_last_resort_and_said_so() -> None:
    offered = Sections(
        system=[piece("Be brief.", role=Role.SYSTEM)],
        recalled=[piece("old", "m1")],
        recent=[turn(0, content="early"), turn(1, content="word " * 500, memory_id="m9")],
    )
    context = pack(offered, 50, count_tokens)
    assert contents(context, SYSTEM) == ["Be brief."]
    assert contents(context, RECENT)[-1].startswith("word word")
    assert 48 <= context.tokens <= 50
    assert ("m9", CUT) in [(entry.memory_id, entry.reason) for entry in context.left_out]
    assert ("m1", OVER_BUDGET) in [(entry.memory_id, entry.reason) for entry in context.left_out]


def test_an_overlong_system_prompt_leaves_the_newest_message_a_foothold() -> None:
    offered = Sections(
        system=[piece("rule " * 500, role=Role.SYSTEM)], recent=[turn(1, content="ask " * 500)]
    )
    context = pack(offered, 160, count_tokens)
    assert [item.section for item in context.items] == [SYSTEM, RECENT]
    assert {entry.reason for entry in context.left_out} == {CUT}


def test_nothing_fits_into_no_budget() -> None:
    context = pack(Sections(recent=[turn(1)]), 0, count_tokens)
    assert context.items == ()
    assert [entry.reason for entry in context.left_out] == [OVER_BUDGET]


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="token_budget must be 0 or more"):
        pack(Sections(), -1, count_tokens)
