"""Reports as Markdown and as one self-contained HTML page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tiered_memory.accounts.activities import Activities
from tiered_memory.accounts.checks import not_read
from tiered_memory.accounts.facts import Facts
from tiered_memory.accounts.judgement import Assessment, Status
from tiered_memory.plurals import counted

WORDS = {
    Status.MET: "met",
    Status.PARTLY: "partly met",
    Status.NOT_MET: "not met",
    Status.OUTSIDE: "outside the software",
}
CAVEAT = (
    "Made from the live configuration and the audit ledger. It says what they show; it is no legal advice, and what "
    "lies with the organisation is marked as outside the software."
)
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #9198a1; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
p.note { color: var(--soft); }
td:first-child { white-space: nowrap; }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page: its heading, its columns, and its rows of text."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A report as people read it."""

    title: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]


def of_assessment(found: Assessment, facts: Facts) -> Page:
    """Return the page of a framework's assessment."""
    rows = tuple(
        (one.reference, one.title, WORDS[one.status], _lines(one.evidence), _lines(one.missing))
        for one in found.findings
    )
    events = tuple(
        (name.replace("_", " "), f"{count:,}") for name, count in sorted(facts.ledger.events.items())
    )
    told = facts.ledger
    named = f"{counted(told.people, 'person', 'people')} and {counted(told.actors, 'actor')}"
    todo = tuple((str(number), line) for number, line in enumerate(found.recommendations, 1))
    return Page(
        f"{found.framework}: {WORDS[found.status]}",
        (
            f"From {facts.since:%Y-%m-%d} until {facts.until:%Y-%m-%d}; policy {facts.policy}; made {facts.at:%Y-%m-%d %H:%M %Z}.",
            f"Binds: {found.binds}.",
            f"{named} in the ledger of the period.",
            covered(facts.directories, facts.directories_unread),
            CAVEAT,
        ),
        (
            Table("Requirements", ("Where", "What", "Stands", "Evidence", "Missing"), rows),
            Table("What to do", ("", "Recommendation"), todo or (("", "Nothing is missing."),)),
            Table("What happened", ("Event", "Times"), events or (("nothing", "0"),)),
        ),
    )


def of_activities(found: Activities) -> Page:
    """Return the page of the record of processing activities."""
    tables = tuple(
        Table(
            f"Purpose: {one.purpose}",
            ("", ""),
            (
                ("Lawful basis", one.lawful_basis),
                ("Documentation", one.documentation or "the consent's own record"),
                ("Data subjects", one.data_subjects),
                ("Data categories", ", ".join(one.data_categories) or "to be completed"),
                ("Most sensitive", one.most_sensitive),
                ("Recipients", ", ".join(one.recipients) or "to be completed"),
                ("Transfers", one.transfers),
                ("Erasure", _lines(one.erasure_limits)),
                ("Held now", f"memories: {one.memories:,}, people: {one.subjects:,}"),
                ("To complete in the policy", ", ".join(one.to_complete) or "nothing"),
            ),
        )
        for one in found.activities
    )
    general = (
        Table("Measures (Art. 32)", ("",), tuple((line,) for line in found.measures)),
        Table("Rights", ("",), tuple((line,) for line in found.rights)),
    )
    lines = (
        f"Controller: {found.controller or 'to be completed'}; contact: {found.contact or 'to be completed'}.",
        f"Policy {found.policy}; made {found.at:%Y-%m-%d %H:%M %Z}.",
        covered(found.directories, found.directories_unread),
        CAVEAT,
    )
    return Page("Record of processing activities (GDPR Art. 30)", lines, (*tables, *general))


def covered(directories: int, unread: int) -> str:
    """Return what a report is about, and what is not in it."""
    about = counted(directories, "data directory", "data directories")
    return f"About {about}; {not_read(unread)} and are not in it." if unread else f"About {about}."


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    blocks = [f"# {_md(page.title)}", *map(_md, page.lines)]
    for table in page.tables:
        blocks.append(f"## {_md(table.heading)}")
        rows = [_md_row(table.columns), "|" + " --- |" * len(table.columns), *map(_md_row, table.rows)]
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


def html(page: Page) -> str:
    """Return the page as one HTML document that needs nothing else; light and dark."""
    body = [f"<h1>{escape(page.title)}</h1>"]
    body += [f'<p class="note">{escape(line)}</p>' for line in page.lines]
    body += [_html_table(one) for one in page.tables]
    head = f'<meta charset="utf-8"><title>{escape(page.title)}</title><style>{STYLE}</style>'
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    joined = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}{viewport}</head>\n<body><main>\n{joined}\n</main></body></html>\n'


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in table.columns)
    shown = f"<thead><tr>{head}</tr></thead>" if any(table.columns) else ""
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f"<h2>{escape(table.heading)}</h2>\n<table>{shown}<tbody>\n{rows}\n</tbody></table>"


def _cell(text: str) -> str:
    return f"<td>{'<br>'.join(map(escape, text.splitlines()))}</td>"


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_md(one) for one in cells) + " |"


def _md(text: str) -> str:
    """Words come from a policy and from callers: nothing in them is markup."""
    safe = escape(text, quote=False).replace("\\", "\\\\")
    for mark in "|`*_[]#":
        safe = safe.replace(mark, f"\\{mark}")
    return safe.replace("\n", "<br>")


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)
