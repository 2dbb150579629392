"use strict";
(() => {
  // the table of experiments: rows that are shown, and what they are compared with
  const compared = JSON.parse(document.getElementById("compared").textContent);
  const table = document.querySelector("table.sortable"), rows = [...table.tBodies[0].rows];
  const shown = document.getElementById("shown"), words = document.getElementById("words");
  const choosers = [...document.querySelectorAll(".chooser")], baseline = document.getElementById("baseline");
  const textOf = (cell) => cell.firstElementChild ? cell.firstElementChild.textContent : "";

  const cost = document.getElementById("cost-column"), most = document.getElementById("most");
  const withinCost = (row) => {
    const key = row.cells[cost.value].dataset.key;
    return most.value === "" || (key !== undefined && key !== "" && Number(key) <= Number(most.value));
  };

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const row of rows) {
      const all = [...row.cells].map(textOf).join(" ").toLowerCase();
      row.hidden = !(wanted.every((word) => all.includes(word))
        && withinCost(row) && choosers.every((one) => one.selectedIndex === 0 || textOf(row.cells[one.dataset.column]) === one.value));
      count += !row.hidden;
    }
    shown.textContent = count < rows.length ? `${count} of ${rows.length} rows` : "";
  };
  words.addEventListener("input", filter);
  most.addEventListener("input", filter);
  cost.addEventListener("change", filter);
  choosers.forEach((one) => one.addEventListener("change", filter));

  const second = (cell, text) => {
    cell.querySelector(".second")?.remove();
    if (!text) return;
    const line = document.createElement("span");
    line.className = "second";
    line.textContent = text;
    cell.append(line);
  };
  const compare = () => {
    const against = compared.against[baseline.value];
    rows.forEach((row, number) => {
      const own = compared.rows[number], answer = against[own.experiment];
      if ("against" in compared.columns) {
        const cell = row.cells[compared.columns.against];
        cell.firstElementChild.textContent = answer.text;
        cell.firstElementChild.className = { 1: "better", "-1": "worse" }[answer.sign] ?? "";
        cell.dataset.key = answer.key;
        second(cell, answer.second);
      }
      for (const cost of Object.keys(own)) {
        if (!(cost in compared.columns) || typeof own[cost] === "string") continue;
        const ofDevice = compared.ofDevices.includes(cost);
        const other = compared.rows.find((one) =>
          one.experiment === baseline.value && (!ofDevice || one.device === own.device));
        const known = other && other !== own && own.experiment !== baseline.value && other[cost] && own[cost] !== null;
        second(row.cells[compared.columns[cost]], known ? `${(own[cost] / other[cost]).toFixed(2)}×` : "");
      }
    });
  };
  baseline.addEventListener("change", () => {
    compare();
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  });
  filter();
  compare();
})();
