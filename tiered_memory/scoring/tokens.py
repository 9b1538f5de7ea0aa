"""An offline estimate of how many tokens a text is, from its character classes.

Made to err upwards: a budget that is overrun costs a failed call, one that is underrun a few words. Exact counts
need the model's own tokenizer, which any `TokenCounter` may wrap.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from typing import TypeAlias

TokenCounter: TypeAlias = Callable[[str], int]
"""Returns the tokens (>= 0) of a text."""

WHOLE_WORD = 7
"""Letters of a run that still is one token; further tokens follow every `PIECE` letters (rare words, hex, base64)."""
PIECE = 4
DIGIT = 0.6
"""Tokens per digit: tokenizers group one to three digits."""
NON_ASCII_BYTE = 0.5
"""Tokens per UTF-8 byte outside ASCII: 1.5 for a Chinese character, 1 for a Cyrillic letter, 2 for an emoji."""

_DIGITS = string.digits.encode()
_SPACES = b" \t\r\v\f"
_NEWLINE = b"\n"
_LETTERS = string.ascii_letters.encode()
_OUTSIDE = bytes(range(128, 256))
_WORDS_ONLY = bytes(byte if byte in _LETTERS else 32 for byte in range(256))


def count_tokens(text: str) -> int:
    """Return the estimated tokens of `text`: 0 for no text, never less for a longer one, linear in its length.

    Letters count by run, digits and bytes outside ASCII at a rate, punctuation and line ends one each, other
    white space nothing: every common tokenizer joins it to what follows.
    """
    data = text.encode("utf-8", "surrogatepass")
    size = len(data)
    runs = [len(run) for run in data.translate(_WORDS_ONLY).split()]
    outside = size - len(data.translate(None, _OUTSIDE))
    digits = size - len(data.translate(None, _DIGITS))
    spaces = size - len(data.translate(None, _SPACES))
    marks = size - sum(runs) - outside - digits - spaces
    pieces = sum([(run - WHOLE_WORD + PIECE - 1) // PIECE for run in runs if run > WHOLE_WORD])
    return len(runs) + pieces + marks + math.ceil(digits * DIGIT + outside * NON_ASCII_BYTE)
