// Dialogs, confirmations, and where the focus goes when a part of the page was replaced.
"use strict";
(() => {
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens)?.showModal();
    if (event.target.closest("[data-closes]")) event.target.closest("dialog")?.close();
  });

  document.addEventListener("input", (event) => {
    const wanted = event.target.dataset.mustEqual;
    if (wanted === undefined) return;
    event.target.setCustomValidity(event.target.value === wanted ? "" : "This is not the id of this person.");
  });

  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details.who") && event.target.open) {
      event.target.querySelector("select, button")?.focus();
    }
  }, true);

  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.who[open]");
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A dialog whose form was refused opens again, with what was typed.
  document.querySelector("dialog[data-open]")?.showModal();

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "result") return;
    document.querySelector("#result [tabindex='-1']")?.focus({ preventScroll: false });
  });

  document.addEventListener("htmx:sendError", () => say("The daemon did not answer. Try again."));
  document.addEventListener("htmx:swapError", () => say("The answer could not be shown. Reload the page."));

  function say(text) {
    const result = document.getElementById("result");
    if (!result) return;
    const line = document.createElement("p");
    line.className = "alert";
    line.setAttribute("role", "alert");
    line.textContent = text;
    result.prepend(line);
  }
})();
