"use strict";

// Numbers are compared as such in a column of nothing else: of names, "1e5" is no number.
function comparison(values) {
  const areNumbers = values.every((value) => !Number.isNaN(Number(value)));
  return areNumbers ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
}

function sortTable(header) {
  const row = header.parentElement;
  const body = header.closest("table").tBodies[0];
  const column = [...row.children].indexOf(header);
  const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const keyed = [...body.rows].map((each) => [each.cells[column].dataset.sort, each]);
  const compare = comparison(keyed.map(([value]) => value));
  // cells without a value come last either way
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
