// The static pages: draws the charts, sorts and filters the table, goes from board to board. No network.
(() => {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function theme() {
    const ink = dark.matches ? "#d5d8df" : "#40434b";
    const line = dark.matches ? "#343841" : "#e3e4e8";
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: {
        labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line,
        labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelFont: "system-ui, sans-serif",
      },
      legend: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
      text: { color: ink },
    };
  }

  async function draw(figure) {
    const place = figure.querySelector(".chart");
    if (!place.clientWidth) return; // inside a closed <details>: drawn when it opens
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const actions = { export: true, source: false, compiled: false, editor: false };
    await window.vegaEmbed(place, spec, { config: theme(), actions, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" } });
    figure.dataset.drawn = "yes";
  }

  function drawAll() {
    for (const figure of document.querySelectorAll("figure")) draw(figure);
  }

  function compare(first, second) {
    if (first === second) return 0;
    if (first === "") return 1; // what is missing goes last, whichever way
    if (second === "") return -1;
    const [a, b] = [Number(first), Number(second)];
    return Number.isNaN(a) || Number.isNaN(b) ? first.localeCompare(second) : a - b;
  }

  function sortBy(table, head) {
    const column = [...head.parentElement.children].indexOf(head);
    const falling = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, two) => {
      const [a, b] = [one.cells[column].dataset.key, two.cells[column].dataset.key];
      if (a === "" || b === "") return compare(a, b);
      return falling ? compare(b, a) : compare(a, b);
    });
    table.tBodies[0].append(...rows);
  }

  function filter(table) {
    const tracks = new Set([...document.querySelectorAll(".track:checked")].map((box) => box.value));
    const least = Number(document.getElementById("checked").value);
    const wanted = document.getElementById("find").value.toLowerCase();
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !tracks.has(row.dataset.track) || Number(row.dataset.checked) < least || !text.includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    const total = table.tBodies[0].rows.length;
    document.getElementById("shown").textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows`;
  }

  function showColumn(table, place, shown) {
    for (const row of table.rows) row.cells[place].hidden = !shown;
  }

  const table = document.getElementById("board");
  if (table) {
    for (const head of table.tHead.rows[0].cells) {
      head.querySelector("button").addEventListener("click", () => sortBy(table, head));
    }
    for (const control of document.querySelectorAll(".track, #checked, #find")) {
      control.addEventListener("input", () => filter(table));
    }
    for (const box of document.querySelectorAll(".column")) {
      showColumn(table, Number(box.value), box.checked); // a reloaded page may keep the reader's choice
      box.addEventListener("input", () => showColumn(table, Number(box.value), box.checked));
    }
    filter(table);
  }
  const boards = document.getElementById("boards");
  if (boards) {
    boards.addEventListener("change", () => { window.location.href = boards.value; });
  }
  for (const part of document.querySelectorAll("details")) {
    part.addEventListener("toggle", () => {
      for (const figure of part.querySelectorAll("figure")) if (!figure.dataset.drawn) draw(figure);
    });
  }
  function reveal() {
    const part = document.getElementById(window.location.hash.slice(1));
    if (part && part.tagName === "DETAILS") part.open = true;
  }
  window.addEventListener("hashchange", reveal);
  dark.addEventListener("change", drawAll);
  reveal();
  drawAll();
})();
