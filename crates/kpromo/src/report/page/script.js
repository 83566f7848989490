"use strict";
(() => {
  const box = document.getElementById("search");
  const found = document.getElementById("found");
  const folded = [...document.querySelectorAll("details")];
  const groups = [...document.querySelectorAll("[data-group]")];
  // An item of a reason is also found by the reason.
  const text = (row) => {
    const common = row.closest("[data-group]")?.querySelector("[data-common]");
    return (row.textContent + " " + (common?.textContent ?? "")).toLowerCase();
  };
  let rows;
  const search = () => {
    rows ??= [...document.querySelectorAll("[data-row]")].map((row) => [row, text(row)]);
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      const matches = words.every((word) => text.includes(word));
      row.hidden = !matches;
      shown += matches ? 1 : 0;
    }
    for (const group of groups) {
      const one = group.matches("[data-row]") ? group : group.querySelector("[data-row]:not([hidden])");
      group.hidden = words.length > 0 && (one === null || one.hidden);
    }
    folded.forEach((part) => { part.open = words.length > 0; });
    found.textContent = words.length > 0 ? `${shown} of ${rows.length} match` : "";
  };
  let timer;
  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
  document.querySelector(".search").hidden = false;
  // Tables that are wider than the page say so: some browsers show no scroll bar before one scrolls.
  const tables = [...document.querySelectorAll(".scroll")];
  const measure = () => {
    const wide = tables.map((table) => table.scrollWidth > table.clientWidth + 1);
    tables.forEach((table, index) => { table.classList.toggle("wide", wide[index]); });
  };
  measure();
  addEventListener("resize", measure);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = folded.filter((part) => !part.open);
    opened.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); });
})();
