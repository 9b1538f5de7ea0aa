// Charts of our own data, drawn with uPlot. Every chart says when it is loading, empty or failed, and has its numbers.
"use strict";
(() => {
  const EVERY = 5000;
  const DAY = 86400;
  const RULES = ["c1", "c2", "c3", "c4", "c5", "c6", "c7"];
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faint = (name) => `color-mix(in srgb, ${colour(name)} 18%, transparent)`;
  const number = (value) =>
    value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 10 ? 2 : 0 });
  const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const month = (moment) => NAMES[moment.getUTCMonth()];
  const date = (seconds) => {
    const moment = new Date(seconds * 1000);
    return `${moment.getUTCDate()} ${month(moment)} ${moment.getUTCFullYear()}`;
  };
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { timeZone: "UTC" });
  const MINUTE = { hour: "2-digit", minute: "2-digit", timeZone: "UTC" };

  function ticks(days) {
    return (u, splits, axis, space, step) => splits.map((seconds) => {
      const moment = new Date(seconds * 1000);
      if (days) return step >= 28 * DAY ? `${month(moment)} ${moment.getUTCFullYear()}` : `${moment.getUTCDate()} ${month(moment)}`;
      return moment.toLocaleTimeString("en-GB", step < 60 ? { timeZone: "UTC" } : MINUTE);
    });
  }

  const MINUTES = {
    requests: { columns: [["requests", "all", "c1"], ["failures", "failed", "c2"]], unit: "/s" },
    latency: { columns: [["p50", "p50", "c1"], ["p99", "p99", "c2"]], unit: " ms" },
    lookups: { columns: [["hit.hot", "hot", "hot"], ["hit.warm", "warm", "warm"], ["hit.cold", "cold", "cold"]], unit: "/s" },
    journal: { columns: [["journal_depth_records", "records", "c1"]], unit: "" },
    changes: { columns: [["forgotten", "forgotten", "c1"], ["purged", "removed for good", "c2"], ["restored", "restored", "c3"]], unit: "" },
    indexes: { columns: [["recall_index_bytes", "MiB", "warm"]], unit: " MiB", scale: 1 / 1048576 },
  };

  // What each kind makes of the document it fetched: { data, series, unit, when, ... }, or a text when it is empty.
  function minutes(kind, given) {
    if (!given.measured) return "Not measured: this daemon has no metrics to draw.";
    if (given.at.length < 1) return "The first two looks are five seconds apart: the line begins with them.";
    const { columns, unit, scale } = MINUTES[kind];
    const values = columns.map(([name]) => given[name].map((v) => (v === null ? null : v * (scale || 1))));
    if (values.every((column) => column.every((v) => v === null))) return "Nothing was reported while this page looked.";
    const series = columns.map(([, label, stroke], place) => ({ label, stroke, dash: place ? [6, 4] : undefined }));
    return { data: [given.at, ...values], series, unit, when: clock, floor: 1 };
  }

  function forecast(given) {
    const rules = Object.keys(given.rules);
    if (!rules.length) {
      return given.memories ? `None of the ${number(given.memories)} memories leaves in this time; ${number(given.later)} leave later, ${number(given.never)} never.` : "Nothing is held, so nothing leaves.";
    }
    const stacked = [];
    rules.forEach((rule, place) => {
      stacked.push(given.rules[rule].map((v, i) => v + (place ? stacked[place - 1][i] : 0)));
    });
    const series = rules.map((rule, place) => ({ label: rule, stroke: RULES[place % RULES.length], bars: true }));
    return {
      data: [given.at, ...stacked.slice().reverse()],
      raw: [given.at, ...rules.map((rule) => given.rules[rule]).reverse()],
      series: series.slice().reverse(), legend: series, unit: "", when: date, floor: 1, days: true, bucket: given.bucket_days * DAY,
      note: `${number(given.at_once)} due at once, ${number(given.later)} later than this, ${number(given.never)} never.`,
    };
  }

  function course(given) {
    const [at, strength] = given.used;
    if (!at.length) return "This memory has no curve: it does not fade, it ends.";
    const xs = [...new Set([...at, ...given.unused[0], given.now])].sort((a, b) => a - b);
    const on = ([times, values]) => xs.map((x) => between(times, values, x));
    const all = on(given.used);
    const past = all.map((v, i) => (xs[i] <= given.now ? v : null));
    const ahead = all.map((v, i) => (xs[i] >= given.now ? v : null));
    return {
      data: [xs, past, ahead, on(given.unused)],
      series: [
        { label: "strength", stroke: "c1", width: 2.5, fill: true },
        { label: "forecast", stroke: "c1", width: 2.5, dash: [7, 5], fill: true },
        { label: "had nobody ever used it", stroke: "c4", dash: [2, 4] },
      ],
      unit: "", when: date, range: [0, 1], days: true, marks: given, strengths: strength,
    };
  }

  function between(times, values, x) {
    if (!times.length || x < times[0] || x > times[times.length - 1]) return null;
    let low = 0;
    let high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= x) low = middle; else high = middle;
    }
    const part = (x - times[low]) / (times[high] - times[low] || 1);
    return values[low] + (values[high] - values[low]) * part;
  }

  // What is drawn over the curve: the threshold, now, and where one crosses the other.
  function marks(given) {
    return (u) => {
      const { ctx } = u;
      const { left, top, width, height } = u.bbox;
      const x = (seconds) => u.valToPos(seconds, "x", true);
      const y = (value) => u.valToPos(value, "y", true);
      const ratio = window.devicePixelRatio || 1;
      ctx.save();
      ctx.font = `${12 * ratio}px system-ui, sans-serif`;
      const line = (x1, y1, x2, y2, stroke, dash) => {
        ctx.beginPath(); ctx.setLineDash(dash); ctx.strokeStyle = stroke; ctx.lineWidth = 1.5 * ratio;
        ctx.moveTo(x1, y1); ctx.lineTo(x2, y2); ctx.stroke(); ctx.setLineDash([]);
      };
      const label = (text, at, level, stroke) => {
        const room = ctx.measureText(text).width;
        const leftwards = at + room + 10 * ratio > left + width;
        ctx.fillStyle = colour("paper"); ctx.globalAlpha = 0.85;
        ctx.fillRect(at + (leftwards ? -room - 9 * ratio : 3 * ratio), level - 12 * ratio, room + 6 * ratio, 17 * ratio);
        ctx.globalAlpha = 1; ctx.fillStyle = stroke; ctx.textAlign = leftwards ? "right" : "left";
        ctx.fillText(text, at + (leftwards ? -6 : 6) * ratio, level);
      };
      if (given.threshold > 0) line(left, y(given.threshold), left + width, y(given.threshold), colour("c2"), [3 * ratio, 3 * ratio]);
      line(x(given.now), top, x(given.now), top + height, colour("ink"), []);
      label("now", x(given.now), top + 14 * ratio, colour("ink"));
      const inside = (seconds) => seconds >= u.scales.x.min && seconds <= u.scales.x.max;
      if (given.crosses && inside(given.crosses)) {
        ctx.beginPath(); ctx.fillStyle = colour("c2");
        ctx.arc(x(given.crosses), y(given.threshold), 5 * ratio, 0, 7); ctx.fill();
        label(`below ${number(given.threshold)} on ${date(given.crosses)}`, x(given.crosses), y(given.threshold) - 10 * ratio, colour("ink"));
      }
      if (given.leaves && given.leaves !== given.crosses && inside(given.leaves)) {
        line(x(given.leaves), top, x(given.leaves), top + height, colour("c2"), []);
        label(`${given.rule.replaceAll("_", " ")}: ${date(given.leaves)}`, x(given.leaves), top + 30 * ratio, colour("ink"));
      }
      ctx.restore();
    };
  }

  function options(figure, made) {
    const plot = figure.querySelector(".plot");
    const axis = (more) => ({ stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more });
    const ceiling = (u, low, high) => [0, made.range ? made.range[1] : Math.max(high * 1.1, made.floor || 0)];
    const readout = (u) => {
      const place = u.cursor.idx;
      const state = figure.querySelector(".readout");
      if (!state) return;
      const from = made.raw || made.data;
      state.textContent = place === null || place === undefined ? "" :
        `${made.when(made.data[0][place])}: ` + made.series.map((one, i) => [one.label, from[i + 1][place]])
          .filter(([, v]) => v !== null && v !== undefined).map(([label, v]) => `${label} ${number(v)}${made.unit}`).join(", ");
    };
    return {
      width: plot.clientWidth || 300,
      height: figure.classList.contains("tall") ? 300 : 170,
      legend: { show: false },
      cursor: { y: false, points: { size: 7 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      padding: [8, 28, 0, 0],
      scales: { x: { time: true, range: made.bucket ? () => [made.data[0][0], made.data[0].at(-1) + made.bucket] : undefined }, y: { range: ceiling } },
      axes: [
        axis({ space: 74, size: 26, grid: { show: false }, values: ticks(made.days) }),
        axis({ size: 46, values: (u, splits) => splits.map((v) => number(v)) }),
      ],
      series: [{}, ...made.series.map((one) => ({
        label: one.label,
        stroke: colour(one.stroke),
        width: one.bars ? 0 : one.width || 2,
        dash: one.dash,
        fill: one.bars ? colour(one.stroke) : one.fill ? faint(one.stroke) : undefined,
        paths: one.bars ? uPlot.paths.bars({ size: [0.8, 40, 2], align: 1 }) : undefined,
        points: one.bars ? { show: false } : { size: 5 },
        spanGaps: false,
      }))],
      hooks: { setCursor: [readout], draw: made.marks ? [marks(made.marks)] : [] },
    };
  }

  function numbers(figure, made) {
    const table = figure.querySelector(".numbers table");
    const from = made.raw || made.data;
    const step = Math.max(1, Math.ceil(from[0].length / 24));
    const head = document.createElement("thead");
    const body = document.createElement("tbody");
    const cell = (kind, text, scope) => {
      const made = document.createElement(kind);
      made.textContent = text;
      if (scope) made.scope = scope;
      return made;
    };
    const row = document.createElement("tr");
    row.append(cell("th", "When", "col"), ...made.series.map((one) => cell("th", one.label, "col")));
    head.append(row);
    for (let place = 0; place < from[0].length; place += step) {
      const line = document.createElement("tr");
      line.append(cell("th", made.when(from[0][place]), "row"), ...made.series.map((_, i) => cell("td", number(from[i + 1][place]) + (from[i + 1][place] === null ? "" : made.unit))));
      body.append(line);
    }
    table.replaceChildren(head, body);
  }

  function summary(made) {
    const last = made.data[0].length - 1;
    if (made.marks) {
      const now = between(made.marks.used[0], made.marks.used[1], made.marks.now);
      const crosses = made.marks.crosses ? `, below ${made.marks.threshold} on ${date(made.marks.crosses)}` : "";
      return `strength now ${number(now)}${crosses}`;
    }
    const from = made.raw || made.data;
    return made.series.map((one, i) => `${one.label} ${number(from[i + 1][last])}${made.unit}`).join(", ");
  }

  function show(figure, made) {
    const state = figure.querySelector(".state");
    const before = drawn.get(figure);
    if (typeof made === "string") {
      before?.destroy();
      drawn.delete(figure);
      figure.dataset.state = "empty";
      if (state.textContent !== made) state.textContent = made;
      return;
    }
    figure.dataset.state = "ready";
    state.textContent = "";
    const title = figure.querySelector("h3").textContent;
    const plot = figure.querySelector(".plot");
    plot.setAttribute("aria-label", `${title}: ${summary(made)}`);
    numbers(figure, made);
    if (made.note || made.legend) extra(figure, made);
    if (before && before.series.length === made.data.length && !made.marks) {
      before.made = made;
      before.setData(made.data);
      return;
    }
    before?.destroy();
    if (!figure.querySelector(".readout")) {
      const line = document.createElement("p");
      line.className = "readout quiet";
      line.setAttribute("aria-hidden", "true");
      plot.after(line);
    }
    drawn.set(figure, new uPlot(options(figure, made), made.data, plot));
  }

  function extra(figure, made) {
    if (made.legend) {
      figure.querySelector(".legend").replaceChildren(...made.legend.map((one) => {
        const item = document.createElement("li");
        const swatch = document.createElement("span");
        swatch.className = `swatch ${one.stroke}`;
        item.append(swatch, one.label.replaceAll("_", " "));
        return item;
      }));
    }
    if (made.note) {
      let note = figure.querySelector(".note");
      if (!note) {
        note = document.createElement("p");
        note.className = "note quiet";
        figure.querySelector(".numbers").before(note);
      }
      note.textContent = made.note;
    }
  }

  async function load(source, figures) {
    let given;
    try {
      const answer = await fetch(source, { headers: { accept: "application/json" }, cache: "no-store" });
      if (answer.redirected) return void window.location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      given = await answer.json();
    } catch {
      for (const figure of figures) fail(figure);
      return false;
    }
    for (const figure of figures) {
      figure.given = given;
      draw(figure);
    }
    return true;
  }

  function draw(figure) {
    const kind = figure.dataset.chart;
    const given = figure.given;
    if (!given) return;
    show(figure, kind === "forecast" ? forecast(given) : kind === "course" ? withMarks(given) : minutes(kind, given));
  }

  function withMarks(given) {
    const made = course(given);
    return typeof made === "string" ? made : { ...made, marks: given };
  }

  function fail(figure) {
    figure.dataset.state = "error";
    figure.querySelector(".state").textContent = "The daemon did not answer. The next look is in five seconds.";
  }

  function begin() {
    const sources = new Map();
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const list = sources.get(figure.dataset.source) || [];
      list.push(figure);
      sources.set(figure.dataset.source, list);
    }
    for (const [source, figures] of sources) {
      const live = figures.some((figure) => figure.dataset.chart in MINUTES);
      const again = async () => {
        const answered = document.hidden ? true : await load(source, figures);
        if (live || !answered) setTimeout(again, EVERY);
      };
      again();
    }
  }

  function redraw() {
    for (const [figure, plot] of [...drawn]) {
      plot.destroy();
      drawn.delete(figure);
      draw(figure);
    }
  }

  let resizing = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => {
      for (const [figure, plot] of drawn) plot.setSize({ width: figure.querySelector(".plot").clientWidth, height: plot.height });
    });
  });
  document.addEventListener("colours", redraw);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
