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

  // The address says how the table is sorted, or which layer is open: #sort=reduction,ascending, #layer-3.
  function follow() {
    const layer = /^#layer-[0-9]+$/.test(location.hash) ? document.getElementById(location.hash.slice(1)) : null;
    if (layer) { layer.open = true; layer.scrollIntoView(); return; }
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

  function save(name, address) {
    const link = document.createElement("a");
    link.href = address;
    link.download = name;
    link.click();
  }

  // Rows that are shown, with figures in full; a text that a spreadsheet would compute begins with an apostrophe.
  function csv() {
    const quoted = (text) => '"' + (/^[=+@\t\r]|^-(?![0-9])/.test(text) ? "'" : "") + text.replace(/"/g, '""') + '"';
    const groups = Array.from(table.tHead.rows[0].cells).flatMap((cell) => Array(cell.colSpan).fill(cell.textContent));
    const lines = [headings.map((heading, index) => groups[index] + ": " + heading.textContent.trim())];
    for (const row of body.rows) {
      if (!row.hidden) lines.push(Array.from(row.cells, (cell) => cell.dataset.full || cell.dataset.value));
    }
    return lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  }

  function filter(search, operator, shown) {
    const at = headings.findIndex((heading) => heading.dataset.key === "operator");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = row.cells[1].textContent.toLowerCase() + " " + row.cells[at].textContent.toLowerCase();
      const fits = operator.value === "" || row.cells[at].textContent === operator.value;
      row.hidden = !(fits && words.every((word) => text.includes(word)));
      if (!row.hidden) count += 1;
    }
    shown.textContent = count === body.rows.length ? "" : count + " of " + body.rows.length + " layers";
  }

  function offerTools(tools) {
    const search = document.getElementById("search"), operator = document.getElementById("operator");
    const shown = document.getElementById("shown");
    const at = headings.findIndex((heading) => heading.dataset.key === "operator");
    const kinds = new Set(Array.from(body.rows, (row) => row.cells[at].textContent));
    for (const kind of Array.from(kinds).sort()) operator.add(new Option(kind, kind));
    search.addEventListener("input", () => filter(search, operator, shown));
    operator.addEventListener("change", () => filter(search, operator, shown));
    document.getElementById("csv").addEventListener("click", () => {
      save("layers.csv", URL.createObjectURL(new Blob([csv()], { type: "text/csv" })));
    });
    tools.hidden = false;
  }

  // A chart on its own: colours of the page as it is now, on its paper.
  function standalone(svg) {
    const style = getComputedStyle(document.documentElement);
    const copy = svg.cloneNode(true), box = svg.viewBox.baseVal;
    copy.removeAttribute("class");
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    copy.setAttribute("style", "background: " + style.getPropertyValue("--paper"));
    const text = new XMLSerializer().serializeToString(copy);
    return text.replace(/var\((--[a-z-]+)\)/g, (whole, name) => style.getPropertyValue(name).trim());
  }

  function savePicture(svg, name) {
    const box = svg.viewBox.baseVal, canvas = document.createElement("canvas"), image = new Image();
    canvas.width = box.width * 2;
    canvas.height = box.height * 2;
    image.onload = () => {
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      save(name + ".png", canvas.toDataURL("image/png"));
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(standalone(svg));
  }

  function offerPictures(chart) {
    const title = chart.closest("figure").querySelector("h3") || chart.closest("section").querySelector("h2");
    const name = title.textContent.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-");
    const visible = () => Array.from(chart.querySelectorAll(":scope > svg")).find((svg) => svg.clientWidth > 0);
    const line = document.createElement("div");
    line.className = "save";
    for (const kind of ["SVG", "PNG"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", "Save " + title.textContent.trim() + " as " + kind);
      button.addEventListener("click", () => {
        const svg = visible();
        if (kind === "PNG") savePicture(svg, name);
        else save(name + ".svg", "data:image/svg+xml;charset=utf-8," + encodeURIComponent(standalone(svg)));
      });
      line.append(button);
    }
    chart.after(line);
  }

  const tools = document.querySelector(".tools");
  if (tools) offerTools(tools);
  document.querySelectorAll(".chart").forEach(offerPictures);
  window.addEventListener("hashchange", follow);
  follow();
})();
