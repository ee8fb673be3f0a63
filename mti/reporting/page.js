"use strict";
// Charts (Plotly, unpacked from the page itself), switches for the series, sortable tables, pictures that enlarge.
const get = id => document.getElementById(id);
const read = id => JSON.parse(get(id).textContent);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const charts = read("charts"), dark = read("dark"), hidden = new Set();

const shade = color => darkness.matches && typeof color === "string"
  ? color.replace(/^#[0-9a-f]{6}/, found => dark[found] ?? found) : color;

function colored(trace) {
  const copy = structuredClone(trace);
  for (const part of [copy.line, copy.marker, copy.error_x, copy.error_y]) if (part?.color) part.color = shade(part.color);
  if (copy.fillcolor) copy.fillcolor = shade(copy.fillcolor);
  if (hidden.has(trace.meta?.series)) copy.visible = false;
  return copy;
}

function draw(place) {
  const style = getComputedStyle(document.documentElement), css = name => style.getPropertyValue(name).trim();
  const chart = charts[place.dataset.chart], axis = { gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, automargin: true };
  const small = chart.size === "small", named = chart.data.some(trace => trace.showlegend);
  const layout = {
    margin: small ? { l: 34, r: 6, t: 6, b: 20 } : { l: 48, r: 12, t: named ? 44 : 12, b: 36 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: named,
    font: { color: css("--pencil"), size: small ? 10 : 12, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line"), font: { color: css("--ink") } },
    hovermode: "x unified", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    ...chart.layout,
    xaxis: { ...axis, nticks: small ? 3 : 6, ...chart.layout.xaxis }, yaxis: { ...axis, nticks: small ? 3 : 6, ...chart.layout.yaxis },
  };
  const data = chart.data.map(trace => ({ showlegend: false, ...colored(trace) }));
  return Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
}

const seen = new Set();  // the charts that have come near the window: only they are drawn
const near = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (entry.isIntersecting && !seen.has(entry.target)) { seen.add(entry.target); draw(entry.target); }
  }
}, { rootMargin: "600px" });

async function start() {
  const packed = Uint8Array.from(atob(get("plotly").textContent), letter => letter.charCodeAt(0));
  const code = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  const script = document.createElement("script");
  script.src = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  script.onload = () => document.querySelectorAll("[data-chart]").forEach(place => near.observe(place));
  document.head.append(script);
}

function recolor() {
  document.querySelectorAll(".key svg *").forEach(part => {
    for (const name of ["stroke", "fill"]) if (part.dataset[name]) part.setAttribute(name, shade(part.dataset[name]));
  });
  seen.forEach(draw);
}
darkness.addEventListener("change", recolor);

get("key")?.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const series = Number(button.dataset.switch), off = !hidden.has(series);
  off ? hidden.add(series) : hidden.delete(series);
  button.setAttribute("aria-pressed", String(!off));
  document.querySelectorAll(`[data-series="${series}"]`).forEach(part => { part.hidden = off; });
  seen.forEach(draw);
});

document.querySelectorAll("thead button").forEach(button => button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending", value = row => row.cells[head.cellIndex].dataset.sort;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const compare = (a, b) => a === "" || b === "" ? (a === "") - (b === "")
    : (up ? 1 : -1) * (isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
}));

const large = get("large");
document.querySelectorAll(".sheet button").forEach(button => button.addEventListener("click", () => {
  const picture = button.querySelector("img");
  large.querySelector("img").src = picture.src;
  large.querySelector("img").alt = large.querySelector("p").textContent = picture.alt;
  large.showModal();
}));
large.addEventListener("click", () => large.close());

recolor();
start();
