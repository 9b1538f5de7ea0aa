"""How the inspector says values: harmless texts, moments, amounts; the curves and quantiles it draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.forget_model import Life, StrengthCourse, StrengthPoint
from tiered_memory.forgetting.course import LEAST_AHEAD_US, MOST_AHEAD_US, course_of, horizon_us
from tiered_memory.forgetting.decay import DAY_US, StrengthState, curve_for
from tiered_memory.inspector import words
from tiered_memory.inspector.lifelines import FAINTEST, WIDTH, picture
from tiered_memory.inspector.render import environment
from tiered_memory.inspector.series import History, Totals, quantile, tier_states, totals
from tiered_memory.model import Explanation, Kind, Memory, Role, Sensitivity, TierName
from tiered_memory.policy.rules import DecayRules

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
texts = st.text(st.characters(codec=None))


# --- words ---------------------------------------------------------------------------------------------------


@given(texts)
def test_what_is_shown_cannot_steer(text: str) -> None:
    shown = words.visible(text)
    assert len(shown) == len(text)
    assert not set(shown) & set("\x00\x07\x1b\x7f\u202e\u2066\u200b\ufeff\u2028\ud800")
    shown.encode()
    assert words.visible(shown) == shown
    assert all(a == b for a, b in zip(text, shown, strict=True) if a.isalnum())


def test_pictures_stand_for_control_characters() -> None:
    assert words.visible("a\x00b\tc\nd\u202ee") == "a\u2400b\tc\nd\ufffde"


@given(texts)
def test_whatever_is_printed_is_escaped_and_harmless(text: str) -> None:
    made = environment().from_string('<a title="{{ it }}">{{ it }}</a>').render(it=text)
    inside = made[len('<a title="') : -len("</a>")]
    assert "<" not in inside
    assert inside.count('"') == 1
    assert inside.count(">") == 1
    assert not set(made) & set("\x00\u202e\u200b")


def test_a_template_cannot_switch_escaping_off() -> None:
    """The word by which a template would is in none of them."""
    from tiered_memory.inspector.render import _ENVIRONMENT

    loader = _ENVIRONMENT.loader
    assert loader is not None
    names = loader.list_templates()
    assert len(names) > 10
    for name in names:
        source = loader.get_source(_ENVIRONMENT, name)[0]
        assert "|safe" not in source.replace(" ", ""), name
        assert "autoescape" not in source, name


@pytest.mark.parametrize(
    ("away", "said"),
    [
        (timedelta(), "now"),
        (timedelta(seconds=5), "in 5 seconds"),
        (timedelta(seconds=-1), "1 second ago"),
        (timedelta(minutes=1), "in 1 minute"),
        (timedelta(hours=-26), "1 day ago"),
        (timedelta(days=45), "in 45 days"),
        (timedelta(days=-91), "3 months ago"),
        (timedelta(days=800), "in 2 years"),
    ],
)
def test_moments_are_seen_from_now(away: timedelta, said: str) -> None:
    assert words.relative(NOW + away, NOW) == said


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_moment_can_be_said(when: datetime) -> None:
    found = words.relative(when, NOW)
    assert found == "now" or found.startswith("in ") == (when > NOW)


def test_moments_name_their_zone() -> None:
    assert words.moment(NOW) == "20 Nov 2026, 12:00 UTC"
    assert words.moment(NOW.astimezone(timezone(timedelta(hours=2)))) == "20 Nov 2026, 14:00 UTC+02:00"
    assert words.moment(None) == "never"
    assert words.relative(None, NOW) == ""


@given(st.floats(0, 1e15))
def test_amounts_stay_short(amount: float) -> None:
    said = words.size(amount)
    assert said.split()[1] in {"B", "KiB", "MiB", "GiB"}
    if amount < 1e12:
        assert len(said) <= 8


def test_fates_are_verbs() -> None:
    assert words.fate("decay") == "fades"
    assert words.fate("decay", held=True) == "stays (decay)"
    assert words.fate("a_new_rule") == "leaves by a new rule"


@given(st.recursive(texts | st.integers() | st.none() | st.datetimes(timezones=st.just(UTC)), st.lists))
def test_anything_is_said_as_json(value: object) -> None:
    assert json.loads(words.as_json(value)) == json.loads(json.dumps(words.plain(value)))
    assert words.as_json(value).isascii()


# --- the course of a strength --------------------------------------------------------------------------------

rules = st.builds(
    DecayRules,
    curve=st.sampled_from(["exponential", "power"]),
    threshold=st.sampled_from([0.0, 0.05, 0.1, 0.5]),
)
states = st.builds(
    StrengthState,
    importance=st.floats(0, 1),
    strength_last=st.floats(0, 1),
    t_last_us=st.integers(10 * DAY_US, 1000 * DAY_US),
    n_spaced=st.floats(0, 50),
    ingested_at_us=st.just(10 * DAY_US),
    policy_version=st.just(""),
)


@given(rules, states, st.integers(0, 1000), st.integers(2, 50))
def test_a_course_is_the_curve_at_its_points(
    given: DecayRules, state: StrengthState, days: int, points: int
) -> None:
    curve, now_us = curve_for(given), state.t_last_us + days * DAY_US
    found = course_of(curve, state, now_us, points)
    assert len(found.points) == len(found.unused) == points
    assert found.points[0] == (state.t_last_us, curve.strength(state, state.t_last_us))
    assert found.unused[0][0] == state.ingested_at_us
    for line in (found.points, found.unused):
        assert [at for at, _ in line] == sorted(at for at, _ in line)
        strengths = [strength for _, strength in line]
        assert all(later <= earlier + 1e-12 for earlier, later in pairwise(strengths))
    assert all(strength == curve.strength(state, at) for at, strength in found.points)
    assert found.points[-1][0] == found.unused[-1][0] > now_us


@given(st.none() | st.integers(0, 10**18), st.integers(0, 10**17), st.integers(0, 10**17))
def test_a_course_reaches_neither_too_far_nor_too_short(forget_at: int | None, known: int, now: int) -> None:
    until, latest = horizon_us(forget_at, known, now), max(now, known)
    assert latest + LEAST_AHEAD_US <= until <= latest + MOST_AHEAD_US


def test_a_course_crosses_the_threshold_where_the_memory_is_forgotten() -> None:
    given = DecayRules()
    curve = curve_for(given)
    state = curve.start(0.6, 0)
    forget_at = curve.forget_at_us(state)
    assert forget_at is not None
    found = course_of(curve, state, 0, 500).points
    crossing = next(at for at, strength in found if strength < given.threshold)
    assert 0 <= crossing - forget_at <= found[1][0]


# --- lives ---------------------------------------------------------------------------------------------------


def life(number: int, came: timedelta, leaves: timedelta | None, tier: TierName = TierName.COLD) -> Life:
    memory = Memory(
        id=f"{number}", order=number, version=1, content="x", role=Role.USER, kind=Kind.EPISODIC, importance=0.5,
        reasons=(), sensitivity=Sensitivity.INTERNAL, purpose="p", lawful_basis=None, occurred_at=NOW + came,
        ingested_at=NOW + came,
    )  # fmt: skip
    told = Explanation(
        memory=memory, strength=0.5, forget_at=None, deadline=None if leaves is None else NOW + leaves,
        deadline_rule="decay", half_life_days=1, spaced_uses=0, last_used_at=NOW, state="active", tiers=(tier,), policy="p",
    )  # fmt: skip
    points = tuple(StrengthPoint(NOW + came + timedelta(days=n), 1 / (n + 1)) for n in range(5))
    return Life(explanation=told, course=StrengthCourse(taken_at=NOW, threshold=0.1, points=points))


spans = st.timedeltas(timedelta(0), timedelta(days=4000))


@given(st.lists(st.tuples(spans, st.none() | spans), min_size=1, max_size=8))
def test_every_life_is_in_the_picture(given: list[tuple[timedelta, timedelta | None]]) -> None:
    lives = [life(number, -came, leaves) for number, (came, leaves) in enumerate(given)]
    found = picture(lives, NOW)
    assert found is not None
    assert len(found.lines) == len(lives)
    assert 0 < found.now < WIDTH
    assert list(found.ticks) == sorted(found.ticks)
    for line, one in zip(found.lines, lives, strict=True):
        assert 0 <= line.begins <= line.known <= line.ends <= WIDTH
        assert line.leaves == (one.explanation.deadline is not None)
        assert all(0 <= stop.offset <= 1 and FAINTEST <= stop.opacity <= 1 for stop in line.stops)
        assert [stop.opacity for stop in line.stops] == sorted((s.opacity for s in line.stops), reverse=True)


def test_there_is_no_picture_of_nothing() -> None:
    assert picture([], NOW) is None


def test_what_has_no_curve_is_a_full_line() -> None:
    volatile = life(1, -timedelta(hours=1), timedelta(hours=1), TierName.HOT)
    flat = replace(volatile, course=replace(volatile.course, points=(), unused=()))
    found = picture([flat], NOW)
    assert found is not None
    assert [stop.opacity for stop in found.lines[0].stops] == [1.0, 1.0]
    assert found.lines[0].tier == "hot"


# --- the last minutes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """A sample as the metrics' library gives it."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def at(seconds: float, **sums: float) -> Totals:
    return Totals(NOW + timedelta(seconds=seconds), sums)


def test_samples_are_summed_up_by_what_is_drawn() -> None:
    found = totals(
        [
            Taken("tiered_memory_requests_total", 3, {"op": "add", "outcome": "ok"}),
            Taken("tiered_memory_requests_total", 2, {"op": "get", "outcome": "NotFoundError"}),
            Taken("tiered_memory_tier_lookups_total", 4, {"tier": "hot", "result": "hit"}),
            Taken("tiered_memory_tier_lookups_total", 1, {"tier": "hot", "result": "miss"}),
            Taken("tiered_memory_tier_up", 0, {"tier": "hot"}),
            Taken("tiered_memory_breaker_state", 1, {"tier": "hot", "state": "open"}),
            Taken("tiered_memory_breaker_state", 0, {"tier": "hot", "state": "closed"}),
            Taken("tiered_memory_memory_changes_total", 7, {"change": "forgotten"}),
            Taken("tiered_memory_journal_depth_records", 5),
            Taken("python_info", 1),
        ],
        NOW,
    )
    assert found.sums["requests"] == 5
    assert found.sums["failures"] == 2
    assert found.sums["change.forgotten"] == 7
    assert found.sums["journal_depth_records"] == 5
    hot, warm, cold = tier_states(found)
    assert (hot.up, hot.breaker, hot.ratio) == (False, "open", 0.8)
    assert (warm.up, cold.breaker, cold.ratio) == (None, None, None)
    assert [one.up for one in tier_states(None)] == [None, None, None]


def test_counters_become_rates_and_gauges_stay() -> None:
    history = History()
    for second, requests, depth in ((0, 10, 3), (10, 30, 5), (20, 5, 0)):
        history.note(
            at(second, requests=requests, journal_depth_records=depth, **{"change.forgotten": second})
        )
    drawn = history.drawn()
    assert drawn["requests"] == [2.0, None], "a restart is a gap"
    assert drawn["journal_depth_records"] == [5, 0]
    assert drawn["forgotten"] == [0, 10]
    assert drawn["recall_index_bytes"] == [None, None]
    assert len({len(column) for column in drawn.values()}) == 1


@given(st.integers(1, 20), st.integers(1, 60))
def test_the_history_is_bounded(kept: int, looks: int) -> None:
    history = History(kept)
    for number in range(looks):
        history.note(at(number * 5.0))
    assert len(history.drawn()["at"]) == max(0, min(kept, looks) - 1)
    assert history.newest == at((looks - 1) * 5.0)


def test_looks_too_close_together_are_one() -> None:
    history = History()
    history.note(at(0, requests=1))
    history.note(at(0.5, requests=2))
    assert history.newest == at(0, requests=1)


buckets = st.lists(st.integers(0, 50), min_size=3, max_size=3)


@given(buckets, buckets, st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_it_falls_into(
    before: list[int], more: list[int], share: float
) -> None:
    bounds = (0.1, 1.0, inf)
    earlier = tuple(zip(bounds, (sum(before[: n + 1]) for n in range(3)), strict=True))
    later = tuple(zip(bounds, (sum(before[: n + 1]) + sum(more[: n + 1]) for n in range(3)), strict=True))
    found = quantile(share, earlier, later)
    if sum(more) == 0:
        assert found is None
        return
    assert found is not None
    rank = share * sum(more)
    place = next(n for n in range(3) if sum(more[: n + 1]) >= rank)
    low, high = ((0.0, 0.1), (0.1, 1.0), (1.0, 1.0))[place]
    assert low <= found <= high or isclose(found, high)


def test_a_quantile_is_interpolated() -> None:
    assert quantile(0.5, (), ((1.0, 10.0), (2.0, 20.0), (inf, 20.0))) == 1.0
    assert quantile(0.75, (), ((1.0, 10.0), (2.0, 20.0), (inf, 20.0))) == 1.5
    assert quantile(0.99, (), ()) is None
