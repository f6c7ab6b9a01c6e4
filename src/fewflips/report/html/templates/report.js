"use strict";
(function () {
  const table = document.getElementById("layers-table");
  const body = table.tBodies[0];
  const headings = Array.from(table.tHead.rows[1].cells);

  function compare(left, right, numeric) {
    return numeric ? Number(left) - Number(right) : left.localeCompare(right, "en", { numeric: true });
  }

  // Cells without a figure stay below, whichever way the column is sorted.
  function sort(column, descending) {
    const numeric = headings[column].classList.contains("number");
    const value = (row) => row.cells[column].dataset.value;
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const left = value(a), right = value(b);
      if (left === "" || right === "") return (left === "") - (right === "");
      return (descending ? -1 : 1) * compare(left, right, numeric) || value0(a) - value0(b);
    });
    body.append(...rows);
    headings.forEach((heading, index) => {
      heading.setAttribute("aria-sort", index !== column ? "none" : descending ? "descending" : "ascending");
    });
  }

  function value0(row) { return Number(row.cells[0].dataset.value); }

  // Figures start with the largest, names and the running number with the first.
  function startsDescending(column) {
    return column > 0 && headings[column].classList.contains("number");
  }

  // The address says how the table is sorted: #sort=reduction, #sort=reduction,ascending.
  function follow() {
    const found = /^#sort=([a-z-]+)(?:,(ascending|descending))?$/.exec(location.hash);
    const column = found ? headings.findIndex((heading) => heading.dataset.key === found[1]) : -1;
    if (column < 0) return;
    sort(column, found[2] ? found[2] === "descending" : startsDescending(column));
  }

  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      const descending = now === "none" ? startsDescending(column) : now === "ascending";
      sort(column, descending);
      const address = "#sort=" + heading.dataset.key + "," + (descending ? "descending" : "ascending");
      history.replaceState(null, "", address);
    });
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
