"use strict";
// The pages of a run, of a sweep and of the analyses: draws figures, and lets paragraphs be filtered, searched and sorted.
// Texts of paragraphs reach the page as text nodes only, never as HTML.
(() => {
  const AT_ONCE = 20; // paragraphs that are added to the page at a time
  const DARKEST = 6; // nats: a token this unlikely, or less likely, has the darkest colour
  const KEYS = {
    index: (row) => row.index,
    em_before: (row) => row.scores.em[0],
    em_after: (row) => row.scores.em[1],
    nll_before: (row) => row.scores.nll[0],
    nll_after: (row) => row.scores.nll[1],
    kl: (row) => row.scores.kl[0],
  };

  const held = (id) => JSON.parse(document.getElementById(id).textContent);

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  const phone = window.matchMedia("(max-width: 40rem)");
  // `ast`: expressions are interpreted, not compiled, since the page forbids eval.
  const DRAWING = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false };

  async function drawFigures(plots) {
    for (const [name, plot] of Object.entries(plots)) {
      // One at a time: a page of many figures can be read, and scrolled, meanwhile.
      await new Promise((resume) => setTimeout(resume));
      // One that cannot be drawn keeps its picture, and does not take the later ones with it.
      await drawFigure(name, plot).catch((error) => console.error(`figure ${name}:`, error));
    }
  }

  async function drawFigure(name, plot) {
    const figure = document.getElementById(`figure-${name}`);
    // A place in the place: Vega would take the name that screen readers read from it.
    const place = figure.querySelector(".plot").appendChild(element("div", ""));
    const draw = () => vegaEmbed(place, { ...(phone.matches ? plot.narrow : plot.wide), datasets: plot.datasets }, DRAWING);
    let drawn = await draw();
    phone.addEventListener("change", async () => {
      drawn.finalize();
      drawn = await draw();
    });
    figure.classList.add("drawn");
  }

  function colour(nll) {
    const share = Math.min(Math.max(nll, 0), DARKEST) / DARKEST;
    return `rgba(213, 94, 0, ${(0.75 * share).toFixed(3)})`;
  }

  function colouredTokens(row, when) {
    const text = element("span", "text");
    row.tokens.forEach((token, i) => {
      const [before, after] = row.token_nll.map((values) => values[i]);
      const span = element("span", "token", token);
      span.title = `NLL ${before ?? "-"} before, ${after ?? "-"} after`;
      span.style.backgroundColor = colour(row.token_nll[when][i] ?? 0);
      text.append(span);
    });
    return text;
  }

  function original(row) {
    return row.tokens ? row.tokens.join("") : row.original;
  }

  function numbers(row, metrics) {
    const shown = (value, digits) => (value === null ? "-" : value.toFixed(digits));
    const known = metrics.filter(([, key]) => row.scores[key].some((value) => value !== null));
    const parts = known.map(([label, key, digits]) => `${label} ${row.scores[key].map((value) => shown(value, digits)).join(" → ")}`);
    return element("span", "scores", ...parts.map((part) => element("span", "", part)));
  }

  function card(row, metrics) {
    const trial = row.trial === null ? "" : `, trial ${row.trial}`;
    const name = element("strong", "", `${row.set} ${row.index}`);
    const about = element("small", "", `cluster ${row.cluster ?? "-"}${trial}`);
    const lines = [["prefix", element("span", "text", row.prefix)]];
    if (row.token_nll) {
      lines.push(["original, NLL before", colouredTokens(row, 0)]);
      lines.push(["original, NLL after", colouredTokens(row, 1)]);
    } else {
      lines.push(["original", element("span", "text", original(row))]);
    }
    lines.push(["model says before", row.before === null ? element("em", "", "the original, word for word") : element("span", "text", row.before)]);
    lines.push(["model says now", element("span", "text now", row.after)]);
    if (row.alternative !== null) lines.push(["asked for instead", element("span", "text", row.alternative)]);
    const list = element("dl", "");
    for (const [label, text] of lines) list.append(element("dt", "", label), element("dd", "", text));
    const made = element("article", "paragraph", element("header", "", name, about, numbers(row, metrics)), list);
    made.dataset.set = row.set;
    made.dataset.index = row.index;
    return made;
  }

  function searchable(row) {
    return [row.prefix, original(row), row.before, row.after, row.alternative].filter(Boolean).join("\n").toLowerCase();
  }

  function browse({ metrics, rows }) {
    const browser = document.getElementById("browser");
    const [search, set, sort] = ["search", "set", "sort"].map((name) => browser.querySelector(`[name=${name}]`));
    const descending = browser.querySelector("[name=descending]");
    const found = document.getElementById("found");
    const list = document.getElementById("paragraphs-found");
    const more = document.getElementById("more");
    const texts = rows.map(searchable);
    let hits = [];
    let shown = 0;

    function addSome() {
      list.append(...hits.slice(shown, shown + AT_ONCE).map((i) => card(rows[i], metrics)));
      shown = Math.min(shown + AT_ONCE, hits.length);
      more.hidden = shown === hits.length;
      const all = `${hits.length} paragraph${hits.length === 1 ? "" : "s"} found`;
      found.textContent = shown < hits.length ? `${all}, the first ${shown} shown` : all;
    }

    function update() {
      const words = search.value.toLowerCase();
      const value = KEYS[sort.value];
      const sign = descending.checked ? -1 : 1;
      hits = rows.map((_, i) => i).filter((i) => (!set.value || rows[i].set === set.value) && texts[i].includes(words));
      hits.sort((i, j) => {
        const [one, other] = [value(rows[i]), value(rows[j])];
        if (one === null || other === null) return (one === null) - (other === null) || i - j;
        return sign * (one - other) || i - j;
      });
      shown = 0;
      list.replaceChildren();
      addSome();
    }

    search.addEventListener("input", update);
    for (const control of [set, sort, descending]) control.addEventListener("change", update);
    more.addEventListener("click", addSome);
    browser.addEventListener("submit", (event) => event.preventDefault());
    update();
  }

  document.documentElement.classList.add("scripted");
  drawFigures(held("plots"));
  if (document.getElementById("browser")) browse(held("paragraphs"));
  // What is folded on the screen belongs on paper.
  window.addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
