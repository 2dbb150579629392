"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // tables: a click on a column sorts by it, a second one turns the order round
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
  };
  const isEmpty = (row, column) => row.cells[column].textContent.trim() === "" && row.cells[column].dataset.key === undefined;
  const sort = (table, column, direction) => {
    const rows = all("tbody tr", table);
    const compare = (a, b) => {
      if (isEmpty(a, column) || isEmpty(b, column)) return isEmpty(a, column) - isEmpty(b, column);
      const [x, y] = [keyOf(a, column), keyOf(b, column)];
      return direction * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    };
    table.tBodies[0].append(...rows.sort(compare));
    all("thead th", table).forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  };
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () =>
        sort(table, column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1));
    });
    const label = document.createElement("label"), choice = document.createElement("select");
    label.className = "sorter";
    choice.append(...heads.flatMap((head, column) => [1, -1].map((direction) =>
      new Option(`${head.textContent} ${direction > 0 ? "↑" : "↓"}`, `${column} ${direction}`))));
    choice.addEventListener("change", () => sort(table, ...choice.value.split(" ").map(Number)));
    label.append("sort by ", choice);
    table.parentElement.before(label);
  }

  // the network: another measure colours it; pointing at an operator, or choosing it, shows its figures
  const panel = document.getElementById("node-details");
  if (panel) {
    const nodes = all(".node"), details = JSON.parse(document.getElementById("network-data").textContent);
    const measure = document.getElementById("measure"), about = document.getElementById("measure-about");
    const colour = () => {
      for (const node of nodes) {
        const [level, words] = JSON.parse(node.dataset.shown)[measure.value] ?? [null, ""];
        node.classList.remove("none", ...[0, 1, 2, 3, 4, 5, 6].map((number) => `heat${number}`));
        node.classList.add(level === null ? "none" : `heat${level}`);
        node.querySelector(".value").textContent = words;
      }
      about.textContent = measure.selectedOptions[0].dataset.about;
    };
    measure.addEventListener("change", colour);
    let chosen = 0;
    const show = (node) => {
      const entry = details[node.dataset.node], list = document.createElement("dl");
      for (const [name, value] of entry.rows) {
        const term = document.createElement("dt"), text = document.createElement("dd");
        term.textContent = name;
        text.textContent = value;
        list.append(term, text);
      }
      const title = document.createElement("h3");
      title.textContent = entry.name;
      panel.replaceChildren(title, list);
    };
    const choose = (node) => {
      nodes[chosen].classList.remove("chosen");
      chosen = nodes.indexOf(node);
      node.classList.add("chosen");
      show(node);
    };
    for (const node of nodes) {
      node.addEventListener("mouseenter", () => show(node));
      node.addEventListener("mouseleave", () => show(nodes[chosen]));
      node.addEventListener("click", () => choose(node));
      node.addEventListener("focus", () => choose(node));
      node.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step && nodes[nodes.indexOf(node) + step]) {
          event.preventDefault();
          nodes[nodes.indexOf(node) + step].focus();
        } else if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose(node);
        }
      });
    }
    choose(nodes[0]);
  }
})();
