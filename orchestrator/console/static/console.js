// What the pages do by themselves: look again while somebody looks at them, draw the plots, send a form once.
// Without this file every page still works; it is then drawn anew only when it is loaded anew.
"use strict";

(() => {
  const PAUSED = "console.paused";
  const pause = document.getElementById("pause");
  const stale = document.getElementById("stale");
  const plots = new Map();
  let lastSeen = new Date();

  // --- look again ---

  const isPaused = () => localStorage.getItem(PAUSED) === "yes";
  const live = () => document.querySelector("#live[data-live]");

  function look() {
    const region = live();
    if (region && !document.hidden && !isPaused()) htmx.trigger(region, "look");
  }

  function showPaused() {
    pause.hidden = !live();
    pause.classList.toggle("paused", isPaused());
    pause.textContent = isPaused() ? "Resume updates" : "Pause updates";
  }

  function showStale(why) {
    stale.hidden = false;
    stale.textContent = `${why} What you see is as of ${lastSeen.toISOString().slice(11, 19)} UTC; it is tried again.`;
  }

  pause.addEventListener("click", () => {
    localStorage.setItem(PAUSED, isPaused() ? "no" : "yes");
    showPaused();
    look();
  });
  document.addEventListener("visibilitychange", look);
  window.addEventListener("storage", showPaused);
  setInterval(look, Number(document.body.dataset.refreshMs));

  document.body.addEventListener("htmx:afterSwap", () => {
    lastSeen = new Date();
    stale.hidden = true;
    showPaused();
    drawPlots();
  });
  document.body.addEventListener("htmx:sendError", () => showStale("The node is not reached."));
  document.body.addEventListener("htmx:timeout", () => showStale("The node does not answer."));
  document.body.addEventListener("htmx:responseError", () => showStale("The node could not answer."));
  // The title tells how much needs attention, also in a tab that is not in front.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const title = /<title>([^<]*)<\/title>/.exec(event.detail.serverResponse);
    if (title) document.title = new DOMParser().parseFromString(title[1], "text/html").documentElement.textContent;
  });

  // What the reader has opened stays open, and what the chart library has drawn stays drawn.
  Object.assign(Idiomorph.defaults.callbacks, {
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    beforeNodeMorphed: (node) => !(node.classList && node.classList.contains("canvas")),
  });

  // --- plots ---

  const DASHES = [[], [6, 4], [2, 3]];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const clock = (at) => new Date(at * 1000).toISOString().slice(11, 16);

  function length(value) {
    if (value < 1) return `${Math.round(value * 1000)} ms`;
    return value < 120 ? `${+value.toPrecision(3)} s` : `${Math.round(value / 60)} m`;
  }

  function options(figure, width) {
    const { series, tones, unit } = figure.dataset;
    const names = series.split(",");
    const asText = (value) => (value == null ? "—" : unit === "s" ? length(value) : value.toLocaleString("en"));
    const axis = { stroke: color("quiet"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line"), width: 1 }, font: "11px system-ui, sans-serif" };
    return {
      width,
      height: 150,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { ...axis, space: 60, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => (unit === "s" ? length(tick) : Number.isInteger(tick) ? asText(tick) : "")) },
      ],
      series: [
        { label: "UTC", value: (_, at) => (at == null ? "—" : clock(at)) },
        ...names.map((label, number) => {
          const stroke = color(tones.split(",")[number]);
          return { label, stroke, width: 2, dash: DASHES[number], points: { show: (plot, at) => plot.data[at].filter((value) => value != null).length < 20, size: 6 }, spanGaps: true,
                   fill: names.length === 1 ? `${stroke}22` : undefined, value: (_, value) => asText(value) };
        }),
      ],
    };
  }

  function drawPlots() {
    for (const figure of document.querySelectorAll("figure[data-plot]")) {
      const canvas = figure.querySelector(".canvas");
      const data = JSON.parse(figure.dataset.plot);
      if (!data[0].length) continue;
      const drawn = plots.get(canvas.id);
      if (drawn && drawn.canvas === canvas) {
        if (drawn.text !== figure.dataset.plot) drawn.plot.setData(data);
        drawn.text = figure.dataset.plot;
      } else {
        const plot = new uPlot(options(figure, canvas.clientWidth || 300), data, canvas);
        plots.set(canvas.id, { canvas, plot, text: figure.dataset.plot });
      }
      canvas.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}. The table below has the numbers.`);
    }
  }

  function redrawPlots() {
    for (const { plot } of plots.values()) plot.destroy();
    plots.clear();
    drawPlots();
  }

  let resizing = 0;
  window.addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      for (const { canvas, plot } of plots.values()) plot.setSize({ width: canvas.clientWidth, height: 150 });
    }, 100);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);

  // --- forms ---

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-once]")) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes"; // the request id makes a second one harmless as well
    form.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-once]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
  });

  showPaused();
  drawPlots();
})();
