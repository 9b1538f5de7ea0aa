"""The page of an archive that a person reads: one file, nothing loaded from elsewhere, light and dark. Pure.

Whatever was said by somebody is escaped: it is shown, and can do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

from tiered_memory.formats.archive import ACCESS_FILES, MANIFEST, PORTABLE_FILES, ArchiveKind, ArchiveManifest
from tiered_memory.model import Explanation, Memory

SHOWN = 1_000
"""The newest memories are on the page; all are in memories.jsonl."""
CHARACTERS = 2_000
STYLE = """
:root{color-scheme:light dark;--paper:#fcfcfa;--ink:#1d2125;--soft:#5b6470;--line:#d9dcd6;--card:#fff;--mark:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--ink:#e6e8ea;--soft:#9aa4af;--line:#30363c;--card:#1c2024;
--mark:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:58rem;padding:2rem 1.25rem 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,sans-serif}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--line)}
a{color:var(--mark)}
.soft,dt,th,caption{color:var(--soft)}
nav{margin:1.5rem 0;padding:.75rem 1rem;border:1px solid var(--line);border-radius:.5rem;background:var(--card)}
nav ol{margin:.25rem 0 0;padding-left:1.4rem;columns:2 16rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600}
td{overflow-wrap:anywhere;min-width:5.5rem}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}
article{margin:.75rem 0;padding:.75rem 1rem;border:1px solid var(--line);border-radius:.5rem;background:var(--card)}
article p{margin:0 0 .5rem;white-space:pre-wrap;overflow-wrap:anywhere}
article .soft{font-size:.85rem;margin:0;white-space:normal}
code{font-size:.85em;overflow-wrap:anywhere}
@media print{body{max-width:none}article,tr{break-inside:avoid}}
"""
RIGHTS = (
    ("See what is held (Art. 15)", "This archive. Ask for it again at any time."),
    ("Take it with you (Art. 20)", "Ask for an archive for portability; another service can read it."),
    ("Have it corrected (Art. 16)", "Say which memory is wrong and what is right."),
    ("Have it erased (Art. 17)", "Ask for erasure: you get a signed certificate that it is gone."),
    ("Have it frozen (Art. 18)", "Ask for restriction: it is kept and not used until the matter is settled."),
    ("Object (Art. 21)", "Say which purpose you object to, and why it concerns you in particular."),
    ("Withdraw a consent (Art. 7)", "As easily as you gave it; what rested on it alone is removed at once."),
    ("A person's decision (Art. 22)", "Ask that somebody looks at a decision that a machine took about you."),
    ("Complain (Art. 77)", "To the data protection authority where you live or work."),
)
SAYS = {
    "memories.jsonl": "Every memory, one JSON object per line.",
    "inferred.jsonl": "What was computed of each: importance and why, strength, dates, index terms, vectors.",
    "consents.jsonl": "Every consent you gave, refused or withdrew.",
    "accesses.jsonl": "What the audit ledger recorded about you: who looked, and what was done.",
    "sessions.jsonl": "Turns of conversations that are open or can be resumed.",
    "register.jsonl": "Requests, decisions, objections, restrictions and their state.",
    "subject.json": "The ids by which you are known.",
    "retention.json": "How long what is kept, and what is held by class.",
    "recipients.json": "For which purposes, on which grounds, who receives it, and the notices you saw.",
}


@dataclass(slots=True)
class PageFacts:
    """What the page tells besides the memories."""

    subject: Mapping[str, str] = field(default_factory=dict)
    held: Sequence[Mapping[str, Any]] = ()
    purposes: Sequence[Mapping[str, Any]] = ()
    consents: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[Mapping[str, Any]] = ()
    recorded: Mapping[str, int] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] = ()
    turns: Sequence[Mapping[str, Any]] = ()
    memories: int = 0
    shown: Sequence[str] = ()
    """The newest memories, as `memory_card` gives them."""


KNOWN_AS = {
    "tenant": "The service you use",
    "user": "You are known as",
    "name_in_ledger": "Your name in the audit ledger",
}
ABOUT_ACCESS = (
    "<p>This is everything that an agent's memory holds about you: what was said, what was computed from it, why and "
    "until when it is kept, what you agreed to, and what was done with it (GDPR Art. 15). The files beside this "
    "page say the same for machines.</p>"
)
ABOUT_PORTABILITY = (
    "<p>This is what you provided yourself and what was observed of you, kept on your consent or a contract with you, "
    "in a form that machines read (GDPR Art. 20). What was inferred from it is not part of this right: ask "
    "for an archive for access to see that too.</p>"
)
ABOUT_TIME = (
    "<p>A memory fades unless it is used, and goes at the latest on the day that stands here. One that was forgotten "
    "can be brought back until its day; then its bytes are removed.</p>"
)


def render(manifest: ArchiveManifest, made_on: str, facts: PageFacts) -> bytes:
    """Return the page; `made_on` is the archive's day, for people. The manifest is unsigned as yet."""
    access = manifest.kind is ArchiveKind.ACCESS
    sections = _access(manifest, facts) if access else _portability(manifest, facts)
    contents = "".join(f'<li><a href="#s{n}">{escape(name)}</a></li>' for n, (name, _) in enumerate(sections))
    body = "".join(f'<h2 id="s{n}">{escape(name)}</h2>{html}' for n, (name, html) in enumerate(sections))
    title = "What is held about you" if access else "Your data, to take with you"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{title}</h1><p class="soft">Made on {escape(made_on)}. '
        f"Archive <code>{manifest.id}</code>.</p></header>"
        f"<nav><strong>Contents</strong><ol>{contents}</ol></nav><main>{body}</main></body></html>\n"
    ).encode()


def memory_card(memory: Memory, explained: Explanation) -> str:
    """Return one memory with why it is kept, since when and until when."""
    until = explained.deadline or explained.forget_at
    said = [
        f"{memory.author or memory.role.value}, {memory.occurred_at:%Y-%m-%d %H:%M}",
        f"kept since {memory.ingested_at:%Y-%m-%d}",
        f"until {until:%Y-%m-%d} at the latest ({explained.deadline_rule})" if until else "no fixed end",
        f"for {memory.purpose}, on {memory.lawful_basis.value if memory.lawful_basis else 'no lasting ground'}",
        f"importance {memory.importance:.2f}: {', '.join(memory.reasons) or 'nothing in it stands out'}",
        f"strength {explained.strength:.2f}, {explained.state}",
    ]
    return _card(memory, said)


def portable_card(memory: Memory) -> str:
    """Return one memory without anything that was inferred."""
    when = f"{memory.author or memory.role.value}, {memory.occurred_at:%Y-%m-%d %H:%M}"
    return _card(memory, [when, f"for {memory.purpose}"])


def _card(memory: Memory, said: Iterable[str]) -> str:
    content = memory.content[:CHARACTERS]
    more = "" if len(memory.content) <= CHARACTERS else f" … ({len(memory.content):,} characters in all)"
    return f'<article><p>{escape(content + more)}</p><p class="soft">{escape(" · ".join(said))}</p></article>'


def _access(manifest: ArchiveManifest, facts: PageFacts) -> list[tuple[str, str]]:
    held = [
        (
            one["kind"],
            one["sensitivity"],
            one["purpose"],
            one["state"],
            one["count"],
            one["since"],
            one["until"],
        )
        for one in facts.held
    ]
    consents = [
        (one["at"], one["purpose"], one["action"], _notice(one), one.get("expires_at") or "when withdrawn")
        for one in facts.consents
    ]
    return [
        ("In short", ABOUT_ACCESS + _summary(manifest, facts)),
        ("Why it is held, and for whom", _purposes(facts.purposes)),
        (
            "How long",
            ABOUT_TIME
            + _table(
                ("What", "Sensitivity", "For", "State", "How many", "Since", "Until, at the latest"), held
            ),
        ),
        ("Your consents", _table(("When", "Purpose", "What", "Notice you saw", "Until"), consents)),
        ("What you were told", _notices(facts.notices)),
        ("Who looked, and what was done", _table(("Recorded", "How often"), sorted(facts.recorded.items()))),
        ("Requests and decisions", _entries(facts.entries)),
        ("Conversations", _turns(facts.turns)),
        ("Memories", _memories(facts)),
        ("Your rights", _table(("Right", "How to use it"), RIGHTS)),
        ("The files of this archive", _files(ACCESS_FILES)),
    ]


def _portability(manifest: ArchiveManifest, facts: PageFacts) -> list[tuple[str, str]]:
    return [
        ("In short", ABOUT_PORTABILITY + _summary(manifest, facts)),
        ("Memories", _memories(facts)),
        ("Your rights", _table(("Right", "How to use it"), RIGHTS)),
        ("The files of this archive", _files(PORTABLE_FILES)),
    ]


def _summary(manifest: ArchiveManifest, facts: PageFacts) -> str:
    known = "".join(
        f"<li>{KNOWN_AS[name]}: <code>{escape(value)}</code></li>" for name, value in facts.subject.items()
    )
    left = "".join(f"<li>Left out: {count:,}, {escape(why)}</li>" for why, count in manifest.left_out.items())
    lost = len(manifest.damaged)
    damaged = (
        f"<li>Held but unreadable, because what is stored of them is damaged: {lost:,}</li>" if lost else ""
    )
    return f"<ul><li>Memories: {facts.memories:,}</li>{damaged}{left}{known}</ul>"


def _purposes(purposes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["purpose"],
            str(one["lawful_basis"]),
            one.get("documentation") or "",
            ", ".join(one["recipients"]) or "nobody else is recorded",
        )
        for one in purposes
    ]
    return _table(("Purpose", "Lawful ground", "Where it is documented", "Recipients"), rows)


def _notice(consent: Mapping[str, Any]) -> str:
    return str(consent["details"].get("notice", ""))


def _notices(notices: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{one['id']}, version {one['version']}",
            one["language"],
            one["published_at"],
            one["text"][:CHARACTERS],
        )
        for one in notices
    ]
    return _table(("Notice", "Language", "Published", "Text"), rows)


def _entries(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [(one["at"], one["kind"], one["status"], one["due"] or "") for one in entries]
    return _table(("When", "What", "State", "Due"), rows)


def _turns(turns: Sequence[Mapping[str, Any]]) -> str:
    rows = [(one["session"], one["occurred_at"], one["role"], one["content"][:CHARACTERS]) for one in turns]
    return _table(("Session", "When", "Who", "What"), rows[-SHOWN:])


def _memories(facts: PageFacts) -> str:
    rest = facts.memories - len(facts.shown)
    more = f'<p class="soft">The newest {len(facts.shown):,}; {rest:,} more are in memories.jsonl.</p>'
    return (more if rest > 0 else "") + ("".join(facts.shown) or '<p class="soft">None.</p>')


def _files(names: Iterable[str]) -> str:
    signed = (MANIFEST, "Their SHA-256 sums, signed: shows that nothing was changed.")
    rows = [(name, SAYS[name]) for name in names]
    return _table(("File", "What is in it"), [*rows, signed])


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return '<p class="soft">None.</p>'
    top = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    if isinstance(value, datetime):
        return f'<td class="n">{value:%Y-%m-%d %H:%M}</td>'
    return f"<td>{escape(str(value))}</td>"
