// Sorting, filtering and paging of the table, slices, notes and the large pictures; without it the page is a plain
// table with links.
"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", function () {
  const PAGE = 100;
  const find = (id) => document.getElementById(id);
  const body = document.querySelector("tbody"), heads = [...document.querySelectorAll("th")];
  const selects = [...document.querySelectorAll("form select")], dialog = document.querySelector("dialog");
  const rows = [...body.rows], words = new Map();
  const noted = heads.findIndex((head) => head.textContent.trim() === "Note");
  let shown = rows, first = 0, open = null;

  // the table

  const learn = (row) => words.set(row, row.textContent.toLowerCase());

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
      const x = key.get(a), y = key.get(b), last = isDone(a) - isDone(b);
      if (last) return last; // what was seen stays at the end
      if (!x || !y) return !x - !y; // empty cells stay last
      return (numbers ? parseFloat(x) - parseFloat(y) : order.compare(x, y)) * (down ? -1 : 1);
    });
    filter();
  }

  // notes: as the last run read them, and in this browser until they are saved

  const COLUMNS = ["patient_id", "phase", "reader", "verdict", "note", "mask_hash", "image_hash"];
  const STORE = `recur notes ${document.title} ${location.pathname}`;
  const strangers = JSON.parse(document.querySelector("form").dataset.notes || "[]");
  const keyOf = (row) => [row.dataset.patient_id, row.dataset.phase, row.dataset.reader].join(" ");
  const isSeen = (row) => row.dataset.verdict === "seen" && !row.dataset.outdated;
  const isDone = (row) => isSeen(row) && !row.classList.contains("excluded"); // the reason may be another one now
  let unsaved = {}, kept = true;

  function remember() {
    try {
      localStorage.setItem(STORE, JSON.stringify(unsaved));
    } catch (error) {
      kept = false; // a browser that keeps nothing for pages from a folder
    }
  }

  function tell(former) {
    const count = Object.keys(unsaved).length;
    const parts = count ? [`${count} unsaved note${count > 1 ? "s" : ""}${kept ? "" : ", lost when the page is closed"}`] : [];
    if (former) parts.push(`${former} on masks that have changed since left out`);
    find("unsaved").value = parts.join("; ");
    find("count-seen").textContent = rows.filter(isSeen).length;
  }

  function mark(row) {
    const {verdict, note, outdated} = row.dataset;
    row.classList.toggle("seen", isDone(row));
    row.classList.toggle("redraw", verdict === "redraw");
    row.dataset.noted = isSeen(row) ? "seen" : verdict === "redraw" ? "redraw open" : "open";
    if (noted >= 0) row.cells[noted].textContent = [verdict, note].filter(Boolean).join(": ") + (outdated ? " (before the change)" : "");
    learn(row);
  }

  function write(row, change) {
    if (row.dataset.outdated && !("verdict" in change)) change.verdict = ""; // a note alone confirms nothing
    for (const one of rows) { // lesions of a mask share its note
      if (keyOf(one) !== keyOf(row)) continue;
      Object.assign(one.dataset, change);
      one.dataset.outdated = "";
      mark(one);
    }
    const {verdict, note, mask_hash, image_hash} = row.dataset;
    unsaved[keyOf(row)] = {verdict, note, mask_hash, image_hash};
    remember();
    tell();
    if (row === open) showVerdict();
  }

  function recall() {
    let stored = {}, former = 0;
    try {
      stored = JSON.parse(localStorage.getItem(STORE) || "{}");
    } catch (error) {
      kept = false;
    }
    for (const row of rows) {
      const own = Object.hasOwn(stored, keyOf(row)) ? stored[keyOf(row)] : null;
      if (own && (own.mask_hash !== row.dataset.mask_hash || own.image_hash !== row.dataset.image_hash)) {
        former += 1;
      } else if (own && (own.verdict !== row.dataset.verdict || own.note !== row.dataset.note || row.dataset.outdated)) {
        Object.assign(row.dataset, {verdict: own.verdict, note: own.note, outdated: ""});
        unsaved[keyOf(row)] = own;
      }
      mark(row);
    }
    remember();
    tell(former);
    rows.sort((a, b) => isDone(a) - isDone(b)); // stable
  }

  function cell(text) { // as every table of the workflow: no spreadsheet takes it for a formula
    const formula = /^'*(?:[=@\t\r]|[+-](?![-+\d.,() eto%]*$))/;
    const safe = formula.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function review() {
    const lines = new Map(strangers.map((note) => [[note.patient_id, note.phase, note.reader].join(" "), note]));
    for (const row of rows) {
      const {verdict, note, outdated, noted_mask, noted_image} = row.dataset;
      if (!verdict && !note) continue;
      const hashes = outdated ? {mask_hash: noted_mask, image_hash: noted_image} : {};
      lines.set(keyOf(row), {...row.dataset, ...hashes});
    }
    const sorted = [...lines.keys()].sort().map((key) => lines.get(key));
    return [COLUMNS.join(","), ...sorted.map((note) => COLUMNS.map((name) => cell(note[name] || "")).join(","))].join("\n") + "\n";
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([review()], {type: "text/csv"}));
    link.download = "review.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    find("unsaved").value = "saved as review.csv; kept here until a run has read it (images.review)";
  }

  // slices: a script per case calls this function with its voxels

  const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
  const COLOURS = {tumour: "#e66e00", rim: "#56b4e9", liver: "#f0e442"};
  const MORE = ["#00b282", "#e08dbb", "#ffffff", "#9999ff"];
  let volume = null, at = 0, loading = null;
  let chosen = false; // whether somebody set the window: then it stays, in HU
  const picture = document.createElement("canvas");

  async function bytes(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function unpack(given) {
    const [nz, ny, nx] = given.size, count = nz * ny * nx, raw = await bytes(given.image);
    const image = new Int16Array(count);
    for (let i = 0; i < count; i++) {
      const folded = raw[i] | (raw[count + i] << 8), step = (folded >>> 1) ^ -(folded & 1);
      image[i] = i % nx ? image[i - 1] + step : step;
    }
    const labels = [];
    for (const text of given.labels) labels.push(text === null ? null : await bytes(text));
    return {...given, image, labels};
  }

  window.slices = async function (given) {
    const own = document.currentScript;
    if (own !== loading) return; // another row was opened meanwhile
    try {
      const made = await unpack(given);
      if (own !== loading) return;
      volume = made;
    } catch (error) {
      find("where").value = `the slices cannot be shown (${error.name})`;
      return;
    }
    if (!chosen || volume.unit !== "HU") ownWindow();
    setPlane();
  };

  const ownWindow = () => setWindow((volume.low + volume.high) / 2, volume.high - volume.low);

  function load(row) {
    volume = loading = null;
    find("viewer").hidden = !row.dataset.slices;
    find("where").value = find("value").value = "";
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (!row.dataset.slices) return;
    const script = loading = document.createElement("script");
    script.src = row.dataset.slices;
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", function () {
      script.remove();
      if (script === loading) find("where").value = "the slices are not beside this page: copy the whole folder images/qc";
    });
    document.head.append(script);
  }

  // plane 0 axial, 1 coronal, 2 sagittal: axes down and across the picture; the head is on top
  const AXES = [[1, 2], [0, 2], [0, 1]], LETTERS = ["RLAP", "RLSI", "APSI"];
  const plane = () => Number(find("plane").value);
  const stride = (axis) => volume.size.slice(axis + 1).reduce((a, b) => a * b, 1);

  function setPlane() { // begin where the tumour is largest
    const axis = plane(), bit = volume.regions.tumour, own = readerLabels();
    const extent = new Array(volume.size[axis]).fill(0);
    own.forEach((label, i) => { if (label & bit) extent[Math.floor(i / stride(axis)) % volume.size[axis]] += 1; });
    at = extent.indexOf(Math.max(...extent));
    find("slice").max = volume.size[axis] - 1;
    paint();
  }

  function readerLabels() {
    const reader = volume.readers.indexOf(open.dataset.reader);
    return volume.labels[reader] || volume.labels.find(Boolean);
  }

  function geometry() {
    const [down, across] = AXES[plane()], rows = volume.size[down], columns = volume.size[across];
    const high = rows * volume.spacing[down], wide = columns * volume.spacing[across];
    const scale = Math.min(canvas.width / wide, canvas.height / high);
    const y = scale * volume.spacing[down], x = scale * volume.spacing[across];
    return {down, across, rows, columns, x, y, left: (canvas.width - columns * x) / 2, top: (canvas.height - rows * y) / 2, scale};
  }

  function voxel(row, column, space) {
    const index = [at, at, at];
    index[space.down] = space.down === 0 ? space.rows - 1 - row : row;
    index[space.across] = column;
    return (index[0] * volume.size[1] + index[1]) * volume.size[2] + index[2];
  }

  function paint() {
    if (!volume) return;
    const space = geometry(), middle = Number(find("middle").value), wide = Math.max(Number(find("wide").value), 1e-6);
    const grey = new ImageData(space.columns, space.rows);
    for (let row = 0, i = 0; row < space.rows; row++) {
      for (let column = 0; column < space.columns; column++, i += 4) {
        const value = volume.offset + volume.step * volume.image[voxel(row, column, space)];
        grey.data[i] = grey.data[i + 1] = grey.data[i + 2] = Math.round(255 * ((value - middle) / wide + 0.5));
        grey.data[i + 3] = 255;
      }
    }
    [picture.width, picture.height] = [space.columns, space.rows];
    picture.getContext("2d").putImageData(grey, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, space.left, space.top, space.columns * space.x, space.rows * space.y);
    if (find("outline").checked) volume.labels.forEach((labels) => labels && outline(labels, space));
    letter(space);
    find("slice").value = at;
    find("where").value = place();
    canvas.setAttribute("aria-label", `${find("name").textContent}, ${place()}`);
  }

  function place() {
    const axis = plane(), name = ["axial", "coronal", "sagittal"][axis], total = volume.size[axis];
    if (axis !== volume.axis) return `${name} ${at + 1} of ${total}`;
    return `${name} slice ${volume.first + (volume.flipped ? total - 1 - at : at) + 1} of ${volume.total}`;
  }

  function outline(labels, space) { // along the edges of the voxels
    const more = MORE.slice();
    const regions = Object.entries(volume.regions).map(([name, bit]) => [COLOURS[name] || more.shift(), bit]);
    pen.setLineDash(labels === readerLabels() ? [] : [4, 4]);
    pen.lineWidth = 1.5;
    for (const [colour, bit] of regions.reverse()) { // the tumour last, on top
      const inside = (row, column) => labels[voxel(row, column, space)] & bit;
      pen.beginPath();
      for (let row = 0; row < space.rows; row++) {
        for (let column = 0; column < space.columns; column++) {
          const here = inside(row, column), x = space.left + column * space.x, y = space.top + row * space.y;
          if (row && here !== inside(row - 1, column)) { pen.moveTo(x, y); pen.lineTo(x + space.x, y); }
          if (column && here !== inside(row, column - 1)) { pen.moveTo(x, y); pen.lineTo(x, y + space.y); }
        }
      }
      pen.strokeStyle = colour;
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  function letter(space) {
    const [left, right, up, down] = LETTERS[plane()], half = canvas.width / 2;
    const bar = [50, 20, 10, 5, 2].find((mm) => mm * space.scale < canvas.width / 3) || 1;
    pen.font = "14px system-ui, sans-serif";
    pen.lineWidth = 3;
    pen.strokeStyle = "#000";
    pen.fillStyle = "#fff";
    const y = canvas.height - 12, x = canvas.width - 10;
    for (const [text, at, from] of [[left, 6, half], [right, canvas.width - 18, half], [up, half, 18], [down, half, y + 4], [`${bar} mm`, x - bar * space.scale, y - 8]]) {
      pen.strokeText(text, at, from);
      pen.fillText(text, at, from);
    }
    pen.fillRect(x - bar * space.scale, y - 2, bar * space.scale, 3);
  }

  function scroll(by) {
    if (!volume) return;
    at = Math.min(Math.max(at + by, 0), volume.size[plane()] - 1);
    paint();
  }

  function setWindow(middle, wide) {
    find("middle").value = Number(middle.toPrecision(6));
    find("wide").value = Number(Math.max(wide, 1e-6).toPrecision(6));
    paint();
  }

  function probe(event) { // the value under the pointer
    if (!volume) return;
    const frame = canvas.getBoundingClientRect(), space = geometry();
    const x = (event.clientX - frame.left) * canvas.width / frame.width, y = (event.clientY - frame.top) * canvas.height / frame.height;
    const column = Math.floor((x - space.left) / space.x), row = Math.floor((y - space.top) / space.y);
    if (column < 0 || row < 0 || column >= space.columns || row >= space.rows) { find("value").value = ""; return; }
    const value = volume.offset + volume.step * volume.image[voxel(row, column, space)];
    find("value").value = `${volume.step === 1 ? value : value.toPrecision(4)} ${volume.unit}`.trim();
  }

  // the dialog

  function showVerdict() {
    const {verdict, note, outdated} = open.dataset;
    find("verdict").value = verdict + (outdated ? " (before mask or image changed)" : "");
    if (document.activeElement !== find("note")) find("note").value = note || "";
  }

  function show(row) {
    const link = row && row.querySelector("a");
    if (!link) return;
    open = row;
    find("name").textContent = row.cells[1].textContent;
    const where = [row.dataset.phase, row.dataset.reader].join(" ");
    find("about").textContent = [where, row.querySelector(".why").textContent, row.dataset.more].filter(Boolean).join("; ");
    dialog.querySelector("img").src = find("full").href = link.getAttribute("href");
    dialog.querySelector("img").alt = link.querySelector("img") ? link.querySelector("img").alt : link.textContent;
    if (!dialog.open) dialog.showModal();
    load(row);
    (row.dataset.slices ? canvas : find("after")).focus();
    showVerdict();
  }

  function step(by) {
    let i = shown.indexOf(open);
    do i += by; while (shown[i] && !shown[i].querySelector("a"));
    if (!shown[i]) return;
    first = PAGE * Math.floor(i / PAGE);
    draw();
    show(shown[i]);
  }

  function judge(verdict) { // a second time takes it back
    const again = open.dataset.verdict === verdict && !open.dataset.outdated;
    write(open, {verdict: again ? "" : verdict});
  }

  const KEYS = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => scroll(1), ArrowDown: () => scroll(-1),
    s: () => judge("seen"), r: () => judge("redraw"),
    o: () => { find("outline").checked = !find("outline").checked; paint(); },
  };

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
  const bar = document.querySelector("form");
  bar.addEventListener("submit", (event) => event.preventDefault());
  // the heads of the columns stay below the bar, which is higher in a narrow window
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
  find("back").addEventListener("click", () => { first -= PAGE; draw(); });
  find("next").addEventListener("click", () => { first += PAGE; draw(); });
  find("save").addEventListener("click", save);
  body.addEventListener("click", function (event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection())) return;
    event.preventDefault();
    show(event.target.closest("tr"));
  });
  find("before").addEventListener("click", () => step(-1));
  find("after").addEventListener("click", () => step(1));
  find("close").addEventListener("click", () => dialog.close());
  find("seen").addEventListener("click", KEYS.s);
  find("redraw").addEventListener("click", KEYS.r);
  find("note").addEventListener("input", () => write(open, {note: find("note").value.replace(/\s+/g, " ").trim()}));
  find("plane").addEventListener("change", () => volume && setPlane());
  find("preset").addEventListener("change", function () {
    if (!volume) return;
    const [middle, wide] = find("preset").value.split(" ").map(Number);
    chosen = Boolean(wide);
    if (chosen) setWindow(middle, wide);
    else ownWindow();
  });
  for (const id of ["middle", "wide"]) find(id).addEventListener("input", () => { chosen = true; paint(); });
  find("outline").addEventListener("input", paint);
  find("slice").addEventListener("input", () => scroll(Number(find("slice").value) - at));
  canvas.addEventListener("wheel", function (event) {
    event.preventDefault();
    scroll(event.deltaY < 0 ? 1 : -1);
  }, {passive: false});
  canvas.addEventListener("pointermove", function (event) {
    probe(event);
    if (!volume || event.buttons !== 1) return;
    const step = Math.max(Number(find("wide").value), 1e-3) / 250;
    chosen = true;
    setWindow(Number(find("middle").value) - event.movementY * step, Number(find("wide").value) + event.movementX * step);
  });
  dialog.addEventListener("keydown", function (event) {
    const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  dialog.addEventListener("close", function () {
    const link = open && open.querySelector("a");
    draw();
    if (link) link.focus();
  });
  recall();
  draw();
});
