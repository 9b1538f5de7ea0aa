"""`pii`: how much of what patterns can find is left in the text, and how much is taken that is nobody's?

`--data` is a set of marked sentences (default: drawn from patterns of the project's own), `--turns` conversations
without any personal data (default: the bundled ones), in which every span found is a false positive. A marked
stretch has leaked when any letter or digit of it is still there. A span is right when a marked stretch of its own
type covers half of it or more. Time is processor time, the median of several passes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.datasets import load
from benchmarks.labelled import Gold, Sentence, drawn, read
from benchmarks.store import demo_data
from benchmarks.suite import Benchmark, Measured, Request, Results
from tiered_memory.policy.pii_types import PiiType, Span
from tiered_memory.privacy.pii import find

PATTERN_TYPES = {
    "CREDIT_CARD": PiiType.CARD,
    "EMAIL_ADDRESS": PiiType.EMAIL,
    "IBAN_CODE": PiiType.IBAN,
    "IP_ADDRESS": PiiType.IP_ADDRESS,
    "PHONE_NUMBER": PiiType.PHONE,
    "US_DRIVER_LICENSE": PiiType.DRIVER_LICENSE,
    "US_SSN": PiiType.US_SSN,
}
"""A set's types that a check digit, a shape or the words beside them give away, and what the product calls them."""
CONVERSATIONS = [Path(__file__).parent / "sets" / f"{name}.json" for name in ("short_chat", "work_dialogues")]
"""They tell one telephone number, one network address and one mail address, which count as false positives too."""
DRAWN = 2_000
PASSES = 5
MOST_LEAKED = 0.02
LEAST_PRECISION = 0.95
MOST_FALSE_POSITIVES = 3.0
LONGEST_US_PER_KB = 100.0

Found = Sequence[tuple[Sentence, tuple[Span, ...]]]


async def run(request: Request) -> Measured:
    """Look for personal data in the marked sentences, and in the conversations that have none."""
    sentences = read(request.data) if request.data else drawn(DRAWN, request.seed)
    turns = _turns(request)
    request.progress.stage("passes", 2 * PASSES)
    found = [(sentence, find(sentence.text)) for sentence in sentences]
    false = [span for turn in turns for span in find(turn)]
    results = {
        **_quality(found),
        "false_positives_per_1000_turns": 1000 * len(false) / len(turns),
        "false_positive_types": dict(Counter(span.type.value for span in false)),
        "us_per_kb": us_per_kb(turns, request),
        "us_per_kb_of_sentences": us_per_kb([sentence.text for sentence in sentences], request),
    }
    return Measured(_config(request, sentences, turns), results)


def _turns(request: Request) -> list[str]:
    bundled = (demo_data(), *CONVERSATIONS)
    paths = (request.turns,) if request.turns is not None else bundled
    return [turn.text for path in paths for conversation in load(path) for turn in conversation.turns]


def _quality(found: Found) -> Results:
    types = {gold.type for sentence, _ in found for gold in sentence.spans} | PATTERN_TYPES.keys()
    per_type = {name: _of_type(found, name) for name in sorted(types)}
    patterns = [per_type[name] for name in PATTERN_TYPES]
    return {
        "pattern_leak_ratio": _ratio(
            sum(one["leaked"] for one in patterns), sum(one["gold"] for one in patterns)
        ),
        "pattern_precision": _ratio(
            sum(one["right"] for one in patterns), sum(one["flagged"] for one in patterns), empty=1.0
        ),
        "pattern_types": sorted(PATTERN_TYPES),
        "per_type": per_type,
        "flagged_besides": dict(
            Counter(
                span.type.value
                for _, spans in found
                for span in spans
                if span.type not in PATTERN_TYPES.values()
            )
        ),
    }


def _of_type(found: Found, name: str) -> dict[str, Any]:
    """Return how many are marked, leaked, flagged and right, of one of the set's types."""
    kind = PATTERN_TYPES.get(name)
    gold = [(one, s.text, spans) for s, spans in found for one in s.spans if one.type == name]
    flagged = [(span, s.spans) for s, spans in found for span in spans if span.type is kind]
    leaked = sum(has_leaked(one, text, spans) for one, text, spans in gold)
    counted: dict[str, Any] = {"gold": len(gold), "leaked": leaked, "leak_ratio": _ratio(leaked, len(gold))}
    if kind is not None:
        right = sum(is_right(span, marked, name) for span, marked in flagged)
        counted |= {
            "flagged": len(flagged),
            "right": right,
            "precision": _ratio(right, len(flagged), empty=1.0),
        }
    return counted


def has_leaked(gold: Gold, text: str, spans: Sequence[Span]) -> bool:
    """Tell whether a letter or digit of a marked stretch lies outside all spans, of whatever type."""
    left = set(range(gold.start, gold.end))
    for span in spans:
        left.difference_update(range(span.start, span.end))
    return any(text[place].isalnum() for place in left)


def is_right(span: Span, marked: Sequence[Gold], name: str) -> bool:
    """Tell whether a marked stretch of the type `name` covers half of `span` or more."""
    return any(
        gold.type == name
        and 2 * (min(span.end, gold.end) - max(span.start, gold.start)) >= span.end - span.start
        for gold in marked
    )


def us_per_kb(texts: Sequence[str], request: Request) -> float:
    """Return processor time in microseconds per 1 000 bytes of UTF-8: the median of the passes."""
    kilobytes = sum(len(text.encode()) for text in texts) / 1000
    passes = []
    for _ in range(PASSES):
        started = time.process_time()
        for text in texts:
            find(text)
        passes.append(time.process_time() - started)
        request.progress.step()
    return median(passes) * 1e6 / kilobytes


def _ratio(part: int, whole: int, *, empty: float = 0.0) -> float:
    return part / whole if whole else empty


def _config(request: Request, sentences: Sequence[Sentence], turns: Sequence[str]) -> dict[str, Any]:
    return {
        "data": request.data.name if request.data else "drawn from the benchmark's own patterns",
        "turns_of": request.turns.name if request.turns else "the bundled conversations",
        "sentences": len(sentences),
        "turns": len(turns),
        "optional_types": [],
        "region_hint": None,
        "us_per_kb_of": "turns; processor time",
    }


def tables(results: Results) -> list[Table]:
    """Return the figures of each of the set's types, and the totals."""
    types = Table(title="pii: per type of the set")
    for column in ("type", "marked", "leaked", "leak", "flagged", "precision"):
        types.add_column(column, justify="left" if column == "type" else "right")
    for name, one in results["per_type"].items():
        precise = (
            (str(one["flagged"]), f"{one['precision']:.1%}") if "flagged" in one else ("", "needs a model")
        )
        types.add_row(name, str(one["gold"]), str(one["leaked"]), f"{one['leak_ratio']:.1%}", *precise)
    totals = Table(title="pii: types that patterns can find")
    for column in ("leaked", "precision", "false positives / 1 000 turns", "us / kB", "us / kB of sentences"):
        totals.add_column(column, justify="right")
    totals.add_row(
        f"{results['pattern_leak_ratio']:.2%}",
        f"{results['pattern_precision']:.2%}",
        f"{results['false_positives_per_1000_turns']:.2f}",
        f"{results['us_per_kb']:.0f}",
        f"{results['us_per_kb_of_sentences']:.0f}",
    )
    return [types, totals]


def missed(results: Results) -> list[str]:
    """Name what is worse than the aims; time is for people to judge."""
    bars = {
        f"pattern_leak_ratio is above {MOST_LEAKED}": results["pattern_leak_ratio"] > MOST_LEAKED,
        f"pattern_precision is below {LEAST_PRECISION}": results["pattern_precision"] < LEAST_PRECISION,
        f"false_positives_per_1000_turns is above {MOST_FALSE_POSITIVES:g}": (
            results["false_positives_per_1000_turns"] > MOST_FALSE_POSITIVES
        ),
    }
    return [name for name, is_missed in bars.items() if is_missed]


BENCHMARK = Benchmark("pii", run, tables, missed=missed)
