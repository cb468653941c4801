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
  axis: { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: ink, gridColor: "#88888855" },
  legend: { labelColor: ink, titleColor: ink },
};

function chosen(name) {
  const { columns, words, rows } = page.charts[name].data;
  const wanted = selects.filter(({ dataset }) => columns.includes(dataset.column));
  const value = (column, number) => (column in words ? words[column][number] : number);
  return rows
    .map((row) => Object.fromEntries(columns.map((column, i) => [column, value(column, row[i])])))
    .filter((row) => wanted.every((select) => row[select.dataset.column] === select.value));
}

async function draw(figure) {
  const name = figure.dataset.chart;
  const place = figure.querySelector(".chart");
  const rows = chosen(name);
  place.classList.toggle("empty", rows.length === 0);
  if (rows.length === 0) {
    place.textContent = "Nothing to draw for this choice; choose one block above.";
    return;
  }
  const lines = new Set(rows.map((row) => row.tuner)).size;
  const spec = { ...page.charts[name].spec, datasets: { rows }, width: "container",
    height: page.heat_maps.includes(name) ? 20 * lines : 340,
    autosize: { type: "fit-x", contains: "padding" }, description: figure.querySelector("figcaption").textContent };
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
