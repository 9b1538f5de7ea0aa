// Runs before the first paint: the chosen colours, or the system's.
"use strict";
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = window.localStorage.getItem("tiered-memory-colours");
  } catch {
    chosen = null;
  }
  const apply = () => {
    const dark = chosen ? chosen === "dark" : system.matches;
    root.dataset.colours = dark ? "dark" : "light";
    const toggle = document.querySelector("[data-theme-toggle]");
    if (toggle) toggle.setAttribute("aria-pressed", String(dark));
    document.dispatchEvent(new CustomEvent("colours"));
  };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    const toggle = document.querySelector("[data-theme-toggle]");
    toggle?.addEventListener("click", () => {
      chosen = root.dataset.colours === "dark" ? "light" : "dark";
      try {
        window.localStorage.setItem("tiered-memory-colours", chosen);
      } catch {
        // without storage the choice lasts as long as the page
      }
      apply();
    });
  });
})();
