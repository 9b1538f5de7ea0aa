"""What a person does in the inspector, done by real clicks and keys in a real browser."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from inspector_eye import Eye
from inspector_stage import ALICE, MALLORY, Stage

from tiered_memory.errors import NotFoundError
from tiered_memory.model import Filter, Subject
from tiered_memory.user import User

pytestmark = pytest.mark.filterwarnings(
    "ignore:optimize"
)  # the memory runs in a thread, out of reach of its own filter


async def first(user: User, words: str) -> str:
    """Return the id of the memory that says these words."""
    found = await user.list(where=Filter(include_superseded=True), limit=1000)
    return next(one.id for one in found if words in one.content)


def test_a_person_is_opened_by_typing(stage: Stage, eye: Eye) -> None:
    eye.see(stage.url + "/")
    eye.page.click("nav >> text=People")
    eye.page.fill("#user", "alice")
    eye.page.fill("#tenant", "acme")
    eye.page.click("button:has-text('Open')")
    eye.settle()
    assert eye.page.inner_text("h1") == "alice"
    assert "alice" not in eye.page.url
    assert "acme" not in eye.page.url
    assert eye.page.locator(".memory").count() > 10


def test_a_session_narrows_the_memories(stage: Stage, eye: Eye) -> None:
    eye.see(stage.address(ALICE))
    every = eye.page.locator(".memory").count()
    eye.page.click("text=session-2")
    eye.settle()
    assert 0 < eye.page.locator(".memory").count() < every
    assert "session-2" not in eye.page.url
    eye.page.select_option("#kind", "semantic")
    eye.page.click(".filter button")
    eye.settle()
    assert eye.page.locator(".memory, #lives-heading ~ .empty").count() >= 1
    assert set(eye.page.locator(".memory .meta > span:nth-child(2)").all_inner_texts()) <= {"semantic"}


def test_a_memory_is_pinned_and_fades_again(stage: Stage, eye: Eye) -> None:
    memory_id = stage.do(first(stage.user(), "Nora"))
    eye.see(stage.address(ALICE, f"/m/{memory_id}"))
    eye.page.click("button:has-text('Pin')")
    eye.page.wait_for_selector("button:has-text('Unpin')")
    assert stage.do(stage.user().life(memory_id)).pinned
    eye.page.click("button:has-text('Unpin')")
    eye.page.wait_for_selector("button:text-is('Pin')")
    assert not stage.do(stage.user().life(memory_id)).pinned


def test_a_memory_is_corrected_with_a_reason(stage: Stage, eye: Eye) -> None:
    memory_id = stage.do(first(stage.user(), "Leeds"))
    eye.see(stage.address(ALICE, f"/m/{memory_id}"))
    eye.page.click("[data-opens=edit]")
    eye.page.fill("#content", "My name is Alice and I work as a nurse in York.")
    eye.page.click("dialog button.primary")
    assert eye.page.locator("dialog[open]").count() == 1, "a reason is asked for"
    eye.page.fill("#reason", "she moved")
    eye.page.click("dialog button.primary")
    eye.page.wait_for_selector(".history")
    assert "York" in eye.page.inner_text("blockquote")
    history = eye.page.inner_text(".history")
    assert "she moved" in history
    assert "Leeds" in history


def test_a_stale_correction_is_refused(stage: Stage, eye: Eye) -> None:
    memory_id = stage.do(first(stage.user(), "Lisbon"))
    eye.see(stage.address(ALICE, f"/m/{memory_id}"))
    stage.do(stage.user().update(memory_id, "We fly to Porto.", reason="by somebody else"))
    eye.page.click("[data-opens=edit]")
    eye.page.fill("#content", "We fly to Faro.")
    eye.page.fill("#reason", "as said")
    eye.page.click("dialog button.primary")
    eye.page.wait_for_selector(".problem, dialog .alert")
    assert stage.do(stage.user().get(memory_id)).content == "We fly to Porto."
    eye.complaints = [one for one in eye.complaints if "409" not in one]


def test_what_faded_is_restored(stage: Stage, eye: Eye) -> None:
    eye.see(stage.address(ALICE))
    gone = eye.page.locator("section:has(#gone-heading) a").first
    words = gone.inner_text()
    gone.click()
    eye.settle()
    assert "gone for good" in eye.page.inner_text("#fate-heading")
    eye.page.click("button:has-text('Restore')")
    eye.page.wait_for_selector("button:text-is('Pin')")
    assert any(words in one.content for one in stage.do(stage.user().list(limit=1000)))


def ask(eye: Eye, question: str) -> None:
    eye.page.fill("#question", question)
    eye.page.keyboard.press("Enter")
    eye.page.wait_for_selector(".hit")
    eye.settle()


def test_sliders_weigh_the_answers_anew(stage: Stage, eye: Eye) -> None:
    eye.see(stage.address(ALICE, "/search"))
    ask(eye, "what am I allergic to?")
    assert "allergic" in eye.page.inner_text(".hit:first-child .title")
    assert eye.page.evaluate("document.activeElement.id") == "found-heading"
    assert re.search(r"in [\d.]+ ms", eye.page.inner_text("#found-heading"))
    for hit in eye.page.locator(".hit").all():
        terms = json.loads(hit.get_attribute("data-terms"))
        assert float(hit.locator("[data-score]").inner_text()) == pytest.approx(
            sum(terms.values()), abs=0.011
        )
        assert hit.locator("svg.terms rect").count() >= len(
            [one for one in terms.values() if abs(one) > 1e-6]
        )
    before = eye.page.locator(".hit .title").all_inner_texts()
    for name in ("lexical", "vector", "context_lexical", "context_vector"):
        slider = eye.page.locator(f"[data-weight={name}]")
        slider.focus()
        eye.page.keyboard.press("Home")
        assert slider.input_value() == "0"
    after = eye.page.locator(".hit .title").all_inner_texts()
    assert after != before
    assert sorted(after) == sorted(before)
    scores = [float(one) for one in eye.page.locator("[data-score]").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert "changed their place" in eye.page.inner_text("[data-said]")
    eye.page.click("[data-reset]")
    assert eye.page.locator(".hit .title").all_inner_texts() == before


async def uses(user: User) -> dict[str, float]:
    """Return how often each lasting memory was used."""
    lasting = (one.explanation for one in await user.lives(limit=100) if one.course.points)
    return {one.memory.id: one.spaced_uses for one in lasting}


def test_looking_at_a_context_strengthens_nothing(stage: Stage, eye: Eye) -> None:
    before = stage.do(uses(stage.user()))
    stage.clock.advance(timedelta(hours=1))
    eye.see(stage.address(ALICE, "/context"))
    eye.page.fill("#question", "what do I prefer?")
    eye.page.fill("#token_budget", "80")
    eye.page.select_option("#session", label="session-6")
    eye.page.click("button:has-text('Pack')")
    eye.page.wait_for_selector("#result .budget")
    used, budget = re.match(r"([\d,]+) of ([\d,]+) tokens", eye.page.inner_text("#packed-heading")).groups()  # type: ignore[union-attr]
    assert int(used) <= int(budget) == 80
    assert eye.page.locator(".packed li").count() >= 1
    assert "over budget" in eye.page.inner_text("[aria-label='What was left out']")
    assert stage.do(uses(stage.user())) == before


def test_a_dry_run_changes_nothing(stage: Stage, eye: Eye) -> None:
    expected = stage.do(stage.user().forget(dry_run=True))
    assert expected.planned
    held = stage.do(stage.user().list(limit=1000))
    eye.see(stage.address(ALICE, "/forgetting"))
    eye.page.click("text=Try it dry")
    eye.page.wait_for_selector("#result table")
    assert f"{len(expected.forgotten)} memor" in eye.page.inner_text("#report-heading")
    assert eye.page.locator("#result tbody tr").count() == len(expected.planned)
    assert stage.do(stage.user().list(limit=1000)) == held


def test_the_ledger_is_verified(stage: Stage, eye: Eye) -> None:
    eye.see(stage.url + "/audit")
    eye.page.click("button:has-text('Verify')")
    eye.page.wait_for_selector("#result .badge.good")
    assert eye.page.inner_text("#verify-heading") == "Sound"
    assert eye.page.locator(".ledger tbody tr").count() > 10
    assert "alice" not in eye.page.inner_text("main")


def test_an_archive_is_downloaded(stage: Stage, eye: Eye, tmp_path: Path) -> None:
    eye.see(stage.address(ALICE, "/rights"))
    with eye.page.expect_download() as waiting:
        eye.page.click("button:has-text('Download')")
    waiting.value.save_as(tmp_path / "archive.zip")
    with zipfile.ZipFile(tmp_path / "archive.zip") as archive:
        assert archive.testzip() is None
        assert any("penicillin" in archive.read(name).decode(errors="replace") for name in archive.namelist())


def erase(eye: Eye, typed: str) -> None:
    eye.page.click("[data-opens=erase]")
    eye.page.fill("#confirm", typed)
    eye.page.click("dialog button.dangerous")


def test_an_erasure_wants_the_id_and_gives_a_certificate(stage: Stage, eye: Eye, tmp_path: Path) -> None:
    carol = Subject("acme", "carol")
    eye.see(stage.address(carol, "/rights"))
    erase(eye, "alice")
    assert eye.page.locator("dialog[open]").count() == 1, "another id erases nobody"
    assert stage.do(stage.user(carol).list())
    eye.page.fill("#confirm", "carol")
    eye.page.click("dialog button.dangerous")
    eye.page.wait_for_selector("#erased-heading")
    assert eye.page.inner_text("#erased-heading") == "Erased, and verified"
    assert stage.do(stage.user(carol).list()) == []
    eye.keep("erased-light")
    with eye.page.expect_download() as waiting:
        eye.page.click("text=Download the certificate")
    waiting.value.save_as(tmp_path / "certificate.json")
    told = json.loads((tmp_path / "certificate.json").read_text())
    assert told["verified"]
    assert "carol" not in json.dumps(told)


def test_a_person_with_a_hostile_name_is_erased_by_what_is_seen(stage: Stage, eye: Eye) -> None:
    memory_id = stage.do(first(stage.user(MALLORY), "WWWW"))
    eye.see(stage.address(MALLORY, "/rights"))
    erase(eye, eye.page.inner_text("label[for=confirm] code"))
    eye.page.wait_for_selector("#erased-heading")
    with pytest.raises(NotFoundError):
        stage.do(stage.user(MALLORY).get(memory_id))


def test_a_key_opens_and_signing_out_closes(stage: Stage, eye: Eye) -> None:
    stage.open = False
    try:
        eye.see(stage.url + "/")
        assert eye.page.url.endswith("/login")
        eye.keep("login-light")
        eye.page.fill("#key", "wrong-key")
        eye.page.click("main button")
        eye.page.wait_for_selector("[role=alert]")
        eye.page.fill("#key", "operator-key")
        eye.page.click("main button")
        eye.page.wait_for_selector("text=The last minutes")
        eye.page.click("details.who summary")
        eye.page.select_option("#role", "auditor")
        eye.page.click("details.who button:has-text('Use')")
        eye.page.wait_for_selector("text=as auditor")
        eye.page.click("details.who summary")
        eye.page.click("text=Sign out")
        eye.page.wait_for_selector("#key")
        eye.see(stage.url + "/people")
        assert eye.page.url.endswith("/login")
    finally:
        stage.open = True
        eye.complaints = [one for one in eye.complaints if "403" not in one]


def test_a_daemon_that_does_not_answer_is_said(stage: Stage, eye: Eye) -> None:
    eye.page.route("**/data/*.json", lambda route: route.abort())
    eye.see(stage.url + "/")
    eye.page.wait_for_selector("figure[data-state=error]")
    assert "did not answer" in eye.page.inner_text("figure[data-state=error] .state >> nth=0")
    eye.keep("overview_error-light")
    eye.complaints.clear()


@pytest.mark.parametrize("path", ["/p/0123/rights", "/nowhere", "/p/zz"])
def test_a_void_address_is_said(stage: Stage, eye: Eye, path: str) -> None:
    answer: Any = eye.see(stage.url + path)
    assert answer.status == 404
    assert eye.page.inner_text("h1").startswith("There is no")
    eye.complaints.clear()


def test_a_job_is_run_paused_and_resumed(stage: Stage, eye: Eye) -> None:
    eye.see(stage.url + "/")
    row = eye.page.locator("#jobs tr:has(th:has-text('purge'))")
    assert "not yet" in row.inner_text()
    row.locator("button:has-text('Run')").click()
    eye.settle()
    assert "ok" in row.inner_text()
    row.locator("button:has-text('Pause')").click()
    eye.page.wait_for_selector("#jobs tr:has(th:has-text('purge')) >> text=paused")
    assert stage.do(stage.memory.jobs.get("purge")).paused
    row.locator("button:has-text('Resume')").click()
    eye.page.wait_for_selector("#jobs tr:has(th:has-text('purge')) >> text=waiting")
    assert not stage.do(stage.memory.jobs.get("purge")).paused


def test_the_tiers_are_looked_up_again(stage: Stage, eye: Eye) -> None:
    eye.see(stage.url + "/")
    before = eye.page.inner_text("#tiers .meta")
    stage.clock.advance(timedelta(minutes=1))
    eye.page.wait_for_selector(f"#tiers .meta:not(:has-text('{before.split()[-2]}'))")
    assert eye.page.locator("#tiers .tier-card .badge.good").count() >= 2
