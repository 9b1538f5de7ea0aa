"""The token estimate: upwards of real tokenizers, monotone, linear."""

from __future__ import annotations

from pathlib import Path

import pytest
from growing import grows_less_than
from hypothesis import given
from hypothesis import strategies as st

import tiered_memory
from tiered_memory.scoring.tokens import count_tokens

WORDPIECE = Path(tiered_memory.__file__).parent / "embedding" / "model" / "tokenizer.json"
ENGLISH = (
    "I prefer concise answers, and please keep code examples short.",
    "The database keeps timing out whenever the nightly export runs against the primary.",
    "Could you remind me what we decided about the connection pool last Thursday?",
    "My sister Hannah moved to Lisbon in 2019 and opened a small bakery near the river.",
    "We should roll back the deployment, then compare latency before and after the change.",
    "It was raining so hard that we stayed inside and played chess until midnight.",
    "Unfortunately the documentation contradicts the implementation in several places.",
    "He said he'd call at 9:30, but nobody picked up the phone.",
)
CHINESE = (
    "我喜欢简洁的回答。请不要写太长。",
    "数据库连接在高峰时段经常超时。我们需要检查连接池的配置。",
    "昨天我们决定把会议推迟到下周三下午三点。",
)


def wordpiece_count(text: str) -> int:
    tokenizers = pytest.importorskip("tokenizers")
    if not WORDPIECE.exists():
        pytest.skip("the embedding model is not installed")
    tokenizer = tokenizers.Tokenizer.from_file(str(WORDPIECE))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_near_wordpiece(text: str) -> None:
    assert 0.9 <= count_tokens(text) / wordpiece_count(text) <= 1.6


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_is_not_undercounted(text: str) -> None:
    assert count_tokens(text) >= wordpiece_count(text)
    assert count_tokens(text) >= len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("   \t ", 0),
        ("hello", 1),
        ("hello world", 2),
        ("internationalisation", 1 + 4),
        ("12345", 3),
        ("a\nb", 3),
        ("(x)", 3),
        ("你好", 3),
        ("🌱", 2),
    ],
)
def test_classes_are_counted_as_stated(text: str, expected: int) -> None:
    assert count_tokens(text) == expected


@given(st.text(), st.text())
def test_a_longer_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert count_tokens(text) <= count_tokens(text + more)


@given(st.text(), st.text())
def test_lines_add_up(text: str, more: str) -> None:
    whole = count_tokens(f"{text}\n{more}")
    assert count_tokens(text) + count_tokens(more) <= whole <= count_tokens(text) + 1 + count_tokens(more)


@given(st.text(st.characters(categories=["Cs", "L", "N", "P"])))
def test_every_text_counts_even_lone_surrogates(text: str) -> None:
    assert count_tokens(text) >= (1 if text else 0)


def test_time_is_linear_in_the_length() -> None:
    """Eight times the text takes about eight times as long; a square would take 64 times."""
    assert grows_less_than(4 * 8, count_tokens, ENGLISH[0], 1 << 17, 1 << 20)
