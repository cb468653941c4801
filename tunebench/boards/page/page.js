"use strict";
// Sorts and filters the table, draws the charts when they come into view. All data is in the element "data".
const page = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");

// ---- what can be chosen: each select is named after the column of the rows that it chooses among
const selects = [...document.querySelectorAll("select[data-column]")];

for (const select of selects) {
  const choices = page.choices[select.dataset.column];
  for (const { value, heading } of choices) select.add(new Option(heading, value));
  if (page.start[select.dataset.column]) select.value = page.start[select.dataset.column];
  select.closest("label").hidden = choices.length < 2;
}

function explain() {
  for (const select of selects) {
    const hint = find(`${select.id}-text`);
    if (hint) hint.textContent = page.choices[select.dataset.column][select.selectedIndex]?.text ?? "";
  }
}

// ---- table
const table = find("rows");
const lines = [...table.tBodies[0].rows];
const blocks = new Set(lines.map((line) => line.dataset.block));

function filterRows() {
  const part = find("tuner").value.trim().toLowerCase();
  const block = find("block")?.value;
  let shown = 0;
  for (const line of lines) {
    const fits = line.dataset.tuner.toLowerCase().includes(part);
    line.hidden = !(fits && (!blocks.has(block) || line.dataset.block === block));  // none of them stands for all
    shown += line.hidden ? 0 : 1;
  }
  find("count").textContent = `${shown} of ${lines.length} rows`;
}

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");  // what has no value comes last, either way
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b) : difference;
}

function sortRows(heading) {
  const index = heading.cellIndex;
  const value = (line) => line.cells[index].dataset.value;
  const descending = heading.getAttribute("aria-sort") === "none" && heading.classList.contains("best-high")
    || heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const sign = descending ? -1 : 1;
  const known = lines.filter((line) => value(line) !== "");
  const unknown = lines.filter((line) => value(line) === "");
  known.sort((a, b) => sign * compare(value(a), value(b)));
  lines.splice(0, lines.length, ...known, ...unknown);
  table.tBodies[0].append(...lines);
}

find("block")?.addEventListener("change", filterRows);
find("tuner").addEventListener("input", filterRows);
find("more").addEventListener("change", (event) => table.classList.toggle("all", event.target.checked));
for (const button of table.tHead.querySelectorAll("button")) {
  button.addEventListener("click", () => sortRows(button.closest("th")));
}
filterRows();

// ---- charts
const figures = [...document.querySelectorAll("figure[data-chart]")];
const ink = "currentColor";
const config = {
  background: "transparent",
  view: { stroke: null },
  axisQuantitative: { tickCount: 8 },
  axis: { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridColor: "#88888855" },
  legend: { labelColor: ink, titleColor: ink },
};

function rowsOf(name) {
  const { columns, words, rows } = page.charts[name].data;
  const value = (column, number) => (column in words ? words[column][number] : number);
  return rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, value(column, row[i])])));
}

function chosen(rows, instead = {}) {
  const wanted = selects
    .map(({ dataset: { column }, value }) => [column, instead[column] ?? value])
    .filter(([column]) => rows.length && column in rows[0]);
  return rows.filter((row) => wanted.every(([column, value]) => row[column] === value));
}

function shades(rows) {  // of the leaders among rows, then of the rest
  const named = [...new Map(rows.map(({ shade, series }) => [shade, series]))].sort(([a], [b]) => a - b);
  return { domain: named.map(([, series]) => series), range: named.map(([shade]) => page.palette[shade]) };
}

function specification(name, rows, room) {
  const spec = structuredClone(page.charts[name].spec);
  for (const { encoding } of [spec, ...(spec.layer ?? [])]) {
    if (encoding?.color?.field === "series") {
      encoding.color.scale = shades(rows);
      encoding.color.legend.columns = Math.max(1, Math.floor(room / 160));
    }
  }
  const lines = new Set(rows.map((row) => row.tuner)).size;
  return { ...spec, datasets: { rows }, width: "container",
    height: page.heat_maps.includes(name) ? 20 * lines : 340, autosize: { type: "fit-x", contains: "padding" } };
}

async function draw(figure) {
  const name = figure.dataset.chart;
  const place = figure.querySelector(".chart");
  const instead = figure.querySelector(".instead");
  let rows = chosen(rowsOf(name));
  instead.hidden = rows.length > 0;
  if (rows.length === 0 && page.choices.block) {  // there is no mean over blocks of this: a block speaks for itself
    rows = chosen(rowsOf(name), { block: page.choices.block.find(({ value }) => blocks.has(value)).value });
    instead.textContent = rows.length ? `Of ${rows[0].block}; choose another block above.` : "Nothing to draw for this choice.";
  }
  place.classList.toggle("empty", rows.length === 0);
  if (rows.length === 0) {
    place.replaceChildren();
    return;
  }
  const spec = { ...specification(name, rows, place.clientWidth),
    description: figure.querySelector("figcaption").textContent };
  await vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: true, config,
    tooltip: { theme: dark.matches ? "dark" : "light" } });
  figure.dataset.drawn = "yes";
}

const watcher = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (isIntersecting) {
      watcher.unobserve(target);
      draw(target);
    }
  }
}, { rootMargin: "200px" });

function redraw() {
  explain();
  table.dataset.variant = find("variant")?.value;
  for (const figure of figures) {
    delete figure.dataset.drawn;
    watcher.unobserve(figure);
    watcher.observe(figure);
  }
}

for (const select of selects) select.addEventListener("change", redraw);
dark.addEventListener("change", redraw);
addEventListener("beforeprint", () => figures.filter((figure) => !figure.dataset.drawn).forEach(draw));
redraw();
