// Sorting, filtering and paging of the table, and the large pictures; without it the page is a plain table with links.
"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", function () {
  const PAGE = 100;
  const find = (id) => document.getElementById(id);
  const body = document.querySelector("tbody"), heads = [...document.querySelectorAll("th")];
  const selects = [...document.querySelectorAll("select")], dialog = document.querySelector("dialog");
  const rows = [...body.rows], words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  let shown = rows, first = 0, open = null;

  function draw() {
    body.replaceChildren(...shown.slice(first, first + PAGE));
    body.classList.add("ready");
    const last = Math.min(first + PAGE, shown.length);
    find("shown").value = shown.length ? `${first + 1} to ${last} of ${shown.length} rows` : "no rows";
    find("back").disabled = first === 0;
    find("next").disabled = last === shown.length;
  }

  function filter() {
    const wanted = find("text").value.toLowerCase().split(/\s+/);
    shown = rows.filter((row) => wanted.every((word) => words.get(row).includes(word))
      && selects.every((select) => !select.value || row.dataset[select.id].split(" ").includes(select.value)));
    first = 0;
    draw();
  }

  function sort(column) {
    const head = heads[column], numbers = head.classList.contains("n");
    const now = head.getAttribute("aria-sort");
    const down = now ? now === "ascending" : head.id === "score";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
    const order = new Intl.Collator("en", {numeric: true});
    rows.sort(function (a, b) {
      const x = key.get(a), y = key.get(b);
      if (!x || !y) return !x - !y; // empty cells stay last
      return (numbers ? parseFloat(x) - parseFloat(y) : order.compare(x, y)) * (down ? -1 : 1);
    });
    filter();
  }

  function show(row) {
    const link = row && row.querySelector("a");
    if (!link) return;
    open = row;
    find("name").textContent = row.cells[1].textContent;
    find("about").textContent = [row.querySelector(".why").textContent, row.dataset.more].filter(Boolean).join("; ");
    dialog.querySelector("img").src = find("full").href = link.getAttribute("href");
    dialog.querySelector("img").alt = link.querySelector("img") ? link.querySelector("img").alt : link.textContent;
    if (!dialog.open) dialog.showModal();
  }

  function step(by) { // to the next patient: the rows of one patient share a picture
    const patient = open.cells[1].textContent;
    let i = shown.indexOf(open);
    do i += by; while (shown[i] && shown[i].cells[1].textContent === patient);
    if (!shown[i]) return;
    first = PAGE * Math.floor(i / PAGE);
    draw();
    show(shown[i]);
  }

  heads.forEach(function (head, column) {
    if (head.classList.contains("picture")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column));
  });
  find("text").addEventListener("input", filter);
  selects.forEach((select) => select.addEventListener("change", filter));
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  find("back").addEventListener("click", () => { first -= PAGE; draw(); });
  find("next").addEventListener("click", () => { first += PAGE; draw(); });
  body.addEventListener("click", function (event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection())) return;
    event.preventDefault();
    show(event.target.closest("tr"));
  });
  find("before").addEventListener("click", () => step(-1));
  find("after").addEventListener("click", () => step(1));
  find("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", function (event) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", function () {
    const link = open && open.querySelector("a");
    if (link) link.focus();
  });
  draw();
});
