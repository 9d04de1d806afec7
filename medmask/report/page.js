"use strict";

// Values that are numbers are compared as numbers; cells without a value come last either way.
function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sortTable(header) {
  const row = header.parentElement;
  const body = header.closest("table").tBodies[0];
  const column = [...row.children].indexOf(header);
  const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const keyed = [...body.rows].map((each) => [each.cells[column].dataset.sort, each]);
  keyed.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return direction * compare(a, b);
  });
  body.append(...keyed.map(([, each]) => each));
  for (const other of row.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
}

for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

for (const input of document.querySelectorAll(".filter input")) {
  input.addEventListener("change", () => {
    const gallery = input.closest(".gallery");
    if (input.type === "checkbox") {
      gallery.classList.toggle("without-boxes", !input.checked);
      return;
    }
    for (const row of gallery.querySelectorAll("tbody tr")) {
      row.hidden = input.value !== "" && row.dataset.kind !== input.value;
    }
  });
}

// What is folded is printed, too.
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details:not([open])")) {
    part.open = true;
    part.dataset.opened = "";
  }
});
window.addEventListener("afterprint", () => {
  for (const part of document.querySelectorAll("details[data-opened]")) {
    part.open = false;
    delete part.dataset.opened;
  }
});
