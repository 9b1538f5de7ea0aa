// The search playground: draws the terms of each score, and weighs the answers anew when a slider is moved.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function begin() {
    for (const one of document.querySelectorAll("[data-playground]:not([data-begun])")) new Playground(one);
  }

  class Playground {
    constructor(root) {
      root.dataset.begun = "yes";
      this.root = root;
      this.list = root.querySelector(".hits");
      this.sliders = [...root.querySelectorAll("[data-weight]")];
      this.names = this.sliders.map((one) => one.dataset.weight);
      this.hits = [...this.list.children].map((item, place) => ({ item, place, terms: JSON.parse(item.dataset.terms) }));
      for (const one of this.sliders) one.addEventListener("input", () => this.weigh());
      root.querySelector("[data-reset]").addEventListener("click", () => this.reset());
      this.weigh(false);
    }

    weights() {
      return Object.fromEntries(this.sliders.map((one) => [one.dataset.weight, Number(one.value)]));
    }

    reset() {
      for (const one of this.sliders) one.value = "1";
      this.weigh();
    }

    weigh(told = true) {
      const weights = this.weights();
      for (const one of this.sliders) one.nextElementSibling.textContent = `× ${Number(one.value).toFixed(1)}`;
      for (const hit of this.hits) {
        hit.parts = this.names.map((name) => [name, (hit.terms[name] || 0) * weights[name]]);
        hit.score = hit.parts.reduce((sum, [, value]) => sum + value, 0);
      }
      // As they came stays the order while nothing is weighed anew: what holds good stands above what it replaced.
      const asItWas = this.sliders.every((one) => Number(one.value) === 1);
      const ordered = [...this.hits].sort((a, b) => (asItWas ? 0 : b.score - a.score) || a.place - b.place);
      const low = Math.min(0, ...this.hits.map((hit) => sum(hit.parts, -1)));
      const high = Math.max(0.0001, ...this.hits.map((hit) => sum(hit.parts, 1)));
      let moved = 0;
      ordered.forEach((hit, rank) => {
        if (rank !== hit.place) moved += 1;
        if (this.list.children[rank] !== hit.item) this.list.insertBefore(hit.item, this.list.children[rank] || null);
        this.show(hit, rank, low, high);
      });
      if (told) this.root.querySelector("[data-said]").textContent = moved ? `${moved} answers changed their place` : "The order is as it was";
    }

    show(hit, rank, low, high) {
      hit.item.querySelector(".rank").textContent = String(rank + 1);
      hit.item.querySelector("[data-score]").textContent = hit.score.toFixed(2);
      const badge = hit.item.querySelector("[data-moved]");
      const steps = hit.place - rank;
      badge.hidden = steps === 0;
      badge.textContent = steps > 0 ? `up ${steps}` : `down ${-steps}`;
      this.bars(hit, low, high);
    }

    bars(hit, low, high) {
      const bar = hit.item.querySelector("svg.terms");
      const percent = (value) => `${((100 * value) / (high - low)).toFixed(3)}%`;
      let right = -low;
      let left = -low;
      const drawn = [];
      hit.parts.forEach(([name, value], place) => {
        if (Math.abs(value) < 1e-6) return;
        const rect = document.createElementNS(SVG, "rect");
        rect.setAttribute("class", `t${place}`);
        rect.setAttribute("height", "14");
        rect.setAttribute("width", percent(Math.abs(value)));
        if (value < 0) left += value;
        rect.setAttribute("x", percent(value < 0 ? left : right));
        if (value > 0) right += value;
        const title = document.createElementNS(SVG, "title");
        title.textContent = `${name.replaceAll("_", " ")} ${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}`;
        rect.append(title);
        drawn.push(rect);
      });
      if (low < 0) {
        const zero = document.createElementNS(SVG, "rect");
        zero.setAttribute("class", "zero");
        zero.setAttribute("x", percent(-low));
        zero.setAttribute("width", "1.5");
        zero.setAttribute("height", "14");
        drawn.push(zero);
      }
      bar.replaceChildren(...drawn);
    }
  }

  function sum(parts, sign) {
    return parts.reduce((total, [, value]) => total + (value * sign > 0 ? value : 0), 0);
  }

  document.addEventListener("htmx:afterSettle", begin);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
