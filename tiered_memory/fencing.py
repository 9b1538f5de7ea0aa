"""Recalled text as data: whatever it says, it is no line of its own and no role. Pure."""

from __future__ import annotations

import re

CONTINUED = "\n  | "
"""Begins every further line of a text, so that none of them can pass for another item."""
_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_TAG = re.compile(
    r"<(?=\|)|<(?=/?(?:system|assistant|user|human|tool|function|instructions?)\b)|<(?=</?SYS>)|\[(?=/?INST\])",
    re.IGNORECASE,
)
_OPENING = {"<": "\u2039", "[": "\u27e6"}
_UNSEEN = re.compile("[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")


def on_one_item(text: str) -> str:
    """Return `text` with every line but its first marked as going on; text of one line is returned as it is."""
    return _BREAK.sub(CONTINUED, text)


def fenced(text: str, label: str | None) -> str:
    """Return `text` with its source's `label` before it, its further lines marked, and no role tag in it.

    The brackets of role tags become ones that no chat template knows; what no screen shows is left out. Without a
    label nothing is done: the text is somebody's own words.
    """
    if label is None:
        return text
    plain = _TAG.sub(lambda found: _OPENING[found.group()], _UNSEEN.sub("", text))
    return f"[from {label}] {on_one_item(plain)}"
