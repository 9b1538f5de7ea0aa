"""Every page of the inspector, looked at: in light and dark, wide and narrow, by eye, by keyboard, by a screen reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from inspector_eye import Eye
from inspector_stage import ALICE, MALLORY, Stage

NARROW = 360
pytestmark = pytest.mark.filterwarnings(
    "ignore:optimize"
)  # the memory runs in a thread, out of reach of its own filter


async def used_memory(stage: Stage) -> str:
    """Return a memory that was used, and fades by and by."""
    lives = await stage.user().lives(limit=100)
    told = [one.explanation for one in lives if not one.pinned]
    return max(told, key=lambda one: (one.deadline_rule == "decay", one.spaced_uses)).memory.id


def at(path: str) -> Callable[[Stage], str]:
    return lambda stage: stage.url + path


def of(subject: Any, path: str = "") -> Callable[[Stage], str]:
    return lambda stage: stage.address(subject, path)


def memory(stage: Stage) -> str:
    return stage.address(ALICE, f"/m/{stage.do(used_memory(stage))}")


def asks(question: str, budget: str = "") -> Callable[[Eye], None]:
    def act(eye: Eye) -> None:
        eye.page.fill("#question", question)
        if budget:
            eye.page.fill("#token_budget", budget)
        eye.page.click("form.ask button")
        eye.page.wait_for_selector("#result li.card")

    return act


def dry(eye: Eye) -> None:
    eye.page.click("text=Try it dry")
    eye.page.wait_for_selector("#result .tiles")


def verified(eye: Eye) -> None:
    eye.page.click("main button:has-text('Verify')")
    eye.page.wait_for_selector("#result .badge")


def opening(name: str) -> Callable[[Eye], None]:
    def act(eye: Eye) -> None:
        eye.page.click(f"[data-opens={name}]")
        eye.page.wait_for_selector(f"dialog#{name}[open]")

    return act


def numbers(eye: Eye) -> None:
    for one in eye.page.query_selector_all("[data-state=ready] .numbers summary"):
        one.click()


PAGES: dict[str, tuple[Callable[[Stage], str], Callable[[Eye], None] | None]] = {
    "overview": (at("/"), None),
    "overview_numbers": (at("/"), numbers),
    "people": (at("/people"), None),
    "person": (of(ALICE), None),
    "person_hostile": (of(MALLORY), None),
    "person_unknown": (of(ALICE.__class__("acme", "nobody")), None),
    "memory": (memory, None),
    "memory_correcting": (memory, opening("edit")),
    "search_empty": (of(ALICE, "/search"), None),
    "search": (of(ALICE, "/search"), asks("what am I allergic to?")),
    "context": (of(ALICE, "/context"), asks("what should I know?", "200")),
    "forgetting": (of(ALICE, "/forgetting"), dry),
    "forgetting_all": (at("/forgetting"), dry),
    "rights": (of(ALICE, "/rights"), None),
    "rights_erasing": (of(ALICE, "/rights"), opening("erase")),
    "audit": (at("/audit"), verified),
}


def look(eye: Eye, stage: Stage, name: str) -> None:
    address, act = PAGES[name]
    answer = eye.see(address(stage))
    assert answer.ok, answer.status
    if act is not None:
        act(eye)
        eye.settle()


def violations(eye: Eye, *rules: str) -> list[str]:
    """Return what axe finds against a page, by all its rules or by some."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = axe.run(eye.page, options=options).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_for_everybody(stage: Stage, eye: Eye, name: str) -> None:
    """By axe's rules in light; in dark what differs, the contrast; and on a telephone nothing sticks out."""
    look(eye, stage, name)
    eye.keep(f"{name}-light")
    assert violations(eye) == []
    eye.page.emulate_media(color_scheme="dark")
    eye.page.wait_for_selector("html[data-colours=dark]")
    eye.keep(f"{name}-dark")
    assert violations(eye, "color-contrast") == []
    eye.page.emulate_media(color_scheme="light")
    eye.page.set_viewport_size({"width": NARROW, "height": 780})
    eye.keep(f"{name}-narrow")
    assert eye.page.evaluate("document.documentElement.scrollWidth") <= NARROW


def test_a_page_fits_a_telephone_from_the_beginning(stage: Stage, eyes: Any) -> None:
    eye = eyes("light", NARROW)
    look(eye, stage, "overview")
    assert eye.page.evaluate("document.documentElement.scrollWidth") <= NARROW
    eye.page.set_viewport_size({"width": 1280, "height": 900})
    wide = "document.querySelector('.plot canvas').getBoundingClientRect().width > 300"
    eye.page.wait_for_selector(".plot canvas")
    assert eye.page.evaluate(
        f"new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({wide}))))"
    )


def test_the_axe_check_can_fail(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "people")
    eye.page.evaluate("document.querySelector('label[for=user]').remove()")
    assert any(one.startswith("label:") for one in violations(eye))


def test_hostile_words_stay_words(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "person_hostile")
    shown = eye.page.inner_text("main")
    assert "<script>document.title='owned'</script>" in shown
    assert "<b onclick=" in shown
    assert "\u202e" not in shown
    assert "owned" not in eye.page.title()
    assert (
        eye.page.locator("main script, main img, main [onclick], main [onload], main u, main em").count() == 0
    )
    for link in eye.page.locator("main .said").all()[:4]:
        link.click()
        eye.settle()
        assert "owned" not in eye.page.title()
        assert eye.page.locator("main script, main img, main [onload]").count() == 0
        eye.page.go_back()


def test_the_chosen_colours_stay(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "overview")
    light = eye.page.evaluate("getComputedStyle(document.body).backgroundColor")
    eye.page.click("[data-theme-toggle]")
    assert eye.page.get_attribute("[data-theme-toggle]", "aria-pressed") == "true"
    dark = eye.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    look(eye, stage, "people")
    assert eye.page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_everything_is_reached_by_keyboard(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "people")
    eye.page.keyboard.press("Tab")
    assert eye.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    eye.page.keyboard.press("Enter")
    assert eye.page.evaluate("document.activeElement.id") == "main"
    eye.page.keyboard.press("Tab")
    assert eye.page.evaluate("document.activeElement.id") == "user"
    outline = eye.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    eye.page.keyboard.type("alice")
    eye.page.keyboard.press("Tab")
    eye.page.keyboard.press("Control+A")
    eye.page.keyboard.type("acme")
    eye.page.keyboard.press("Enter")
    eye.page.wait_for_selector("#lives-heading")
    assert eye.page.inner_text("h1") == "alice"


def test_a_dialog_keeps_the_focus_and_gives_it_back(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "memory")
    opener = eye.page.locator("[data-opens=edit]")
    opener.focus()
    eye.page.keyboard.press("Enter")
    assert eye.page.evaluate("document.activeElement.closest('dialog')?.id") == "edit"
    eye.page.keyboard.press("Escape")
    assert eye.page.locator("dialog[open]").count() == 0
    assert eye.page.evaluate("document.activeElement.dataset.opens") == "edit"


def test_a_curve_tells_its_day_and_has_its_numbers(stage: Stage, eye: Eye) -> None:
    look(eye, stage, "memory")
    told = eye.page.get_attribute(".tall .plot", "aria-label")
    assert "strength now 0." in told
    assert "below 0.1 on" in told
    day = re.search(r"on (\d+ \w+ \d{4})", eye.page.inner_text("#fate-heading")).group(1)  # type: ignore[union-attr]
    assert eye.page.locator(".tall canvas").count() == 1
    eye.page.click(".numbers summary")
    assert eye.page.locator(".numbers tbody tr").count() > 10
    assert f"below 0.1 on {day}" in told
