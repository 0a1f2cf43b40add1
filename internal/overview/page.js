"use strict";
// Without this script the page has all figures and all links; it adds what keys
// do in charts, and tables that can be sorted.

// A chart is one stop of the Tab key. Arrow keys go to the nearest mark in their
// direction, Home and End to the first and last, Enter is the link's own.
for (const chart of document.querySelectorAll("svg.map, svg.time")) {
  const marks = [...chart.querySelectorAll("a")];
  const caption = chart.parentElement.querySelector("figcaption");
  const hint = caption.textContent;
  const choose = (mark) => {
    for (const m of marks) m.setAttribute("tabindex", m === mark ? "0" : "-1");
  };
  const tell = (mark) => { caption.textContent = mark ? mark.getAttribute("aria-label") : hint; };
  if (marks.length) choose(marks[0]);
  for (const mark of marks) {
    mark.addEventListener("focus", () => { choose(mark); tell(mark); });
    mark.addEventListener("blur", () => tell(null));
    mark.addEventListener("mouseenter", () => tell(mark));
    mark.addEventListener("mouseleave", () => tell(marks.find((m) => m === document.activeElement)));
  }
  chart.addEventListener("keydown", (event) => {
    const from = marks.indexOf(document.activeElement);
    if (from < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowLeft: () => nearest(marks, from, -1, 0), ArrowRight: () => nearest(marks, from, 1, 0),
      ArrowUp: () => nearest(marks, from, 0, -1), ArrowDown: () => nearest(marks, from, 0, 1),
      Home: () => marks[0], End: () => marks[marks.length - 1],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const mark = to();
    if (mark) mark.focus();
  });
}

// nearest is the mark that lies closest in the direction (dx, dy): what is aside
// counts three times.
function nearest(marks, from, dx, dy) {
  const middle = (mark) => {
    const box = (mark.querySelector("rect, circle")).getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const [x, y] = middle(marks[from]);
  let best = null, least = Infinity;
  for (const mark of marks) {
    const [mx, my] = middle(mark);
    const ahead = dx * (mx - x) + dy * (my - y);
    const aside = Math.abs(dx * (my - y)) + Math.abs(dy * (mx - x));
    if (ahead > 1 && ahead + 3 * aside < least) [best, least] = [mark, ahead + 3 * aside];
  }
  return best;
}

// A link to a row takes the focus there, so that Tab goes on from it.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const href = link && link.getAttribute("href");
  const row = href && href.startsWith("#") && document.getElementById(href.slice(1));
  if (row && row.getAttribute("tabindex") === "-1") setTimeout(() => row.focus());
});

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("span"); // a button is not printed on every page
    button.textContent = head.textContent;
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(table, head));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(table, head);
    });
  }
}

function sort(table, head) {
  const numbers = head.dataset.sort === "number";
  const was = head.getAttribute("aria-sort");
  const order = was ? (was === "ascending" ? "descending" : "ascending") : (numbers ? "descending" : "ascending");
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const value = (row) => {
    const cell = row.children[head.cellIndex];
    return numbers ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (a, b) => numbers ? a - b : a.localeCompare(b, undefined, { numeric: true });
  const body = table.tBodies[0];
  const sign = order === "ascending" ? 1 : -1;
  body.append(...[...body.rows].sort((a, b) => sign * compare(value(a), value(b))));
}
