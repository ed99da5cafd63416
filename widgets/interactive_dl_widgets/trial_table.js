// A table of trials. Only the rows that are in sight are in the page. trial_table.py has the messages.

const ROW_PX = 24;
const MARGIN_ROWS = 6;
const TONES = {
  running: "good",
  finished: "good",
  queued: "wait",
  paused: "wait",
  pruned: "calm",
  stopped: "calm",
  failed: "bad",
  quarantined: "bad",
};
const STATES = Object.keys(TONES);
const WISHES = { stop: "stopping", pause: "pausing", resume: "resuming" };
const COLOURS = { good: "#2e8b57", wait: "#b7791f", bad: "#cf4a43", calm: "#6e7781" };
const COMPARISONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => String(a) === b || (a !== null && Number(a) === Number(b)),
  "!=": (a, b) => !COMPARISONS["="](a, b),
};

function short(number) {
  if (number === null || number === undefined) return "";
  if (Number.isInteger(number) && Math.abs(number) < 1e6) return String(number);
  const size = Math.abs(number);
  if (size >= 1e5 || size < 1e-4) return number.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
  return String(Number(number.toPrecision(4)));
}

function clock(seconds) {
  if (seconds === null) return "";
  const two = (part) => String(Math.floor(part)).padStart(2, "0");
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 3600)}:${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// What a row must have, from the words that a person has typed: every one of them.
export function parse(words, columns) {
  const tests = [];
  for (const word of words.trim().split(/\s+/).filter(Boolean)) {
    const [, name, operator, wanted] = word.match(/^(.+?)(<=|>=|!=|<|>|=)(.+)$/) ?? [];
    const at = columns.findIndex((column) => column.name === name);
    if (at >= 0) {
      const compare = COMPARISONS[operator];
      const value = operator.endsWith("=") && !/[<>]/.test(operator) ? wanted : Number(wanted);
      const cell = (cells) => (columns[at].kind === "state" ? cells[at].split(" ")[0] : cells[at]);
      tests.push((cells) => cells[at] !== null && compare(cell(cells), value));
    } else if (/^#\d+$/.test(word)) {
      tests.push((cells) => cells[0] === Number(word.slice(1)));
    } else {
      const text = word.toLowerCase();
      tests.push((cells) =>
        cells.some((cell) => cell !== null && String(cell).toLowerCase().includes(text)),
      );
    }
  }
  return (cells) => tests.every((test) => test(cells));
}

// Orders cells of a column; what is missing comes last, whichever way.
function comparison(column, at, isDescending) {
  const key = (cell) => (column.kind === "state" ? STATES.indexOf(cell.split(" ")[0]) : cell);
  return (one, other) => {
    const a = key(one.cells[at]);
    const b = key(other.cells[at]);
    if (a === null || b === null) return (a === null) - (b === null) || one.cells[0] - other.cells[0];
    if (a === b) return one.cells[0] - other.cells[0];
    const isLess = typeof a === typeof b ? a < b : typeof a < typeof b;
    return isLess === isDescending ? 1 : -1;
  };
}

class Table {
  constructor(model, el) {
    this.model = model;
    this.columns = [];
    this.rows = new Map(); // by trial: {cells, at: when they came}
    this.order = []; // the rows that are shown, in their order
    this.pool = [];
    this.cursor = null;
    this.anchor = null;
    this.isStale = true; // order is to be made again
    this.build(el);
  }

  build(el) {
    el.classList.add("idl-trials");
    this.bar = element("div", "idl-trials-bar");
    this.words = element("input", "");
    this.words.placeholder = "filter: adam lr<1e-3 value<0.2";
    this.words.title =
      "Rows with all of these words; name<number, name>number, name=value compare a column, #7 is a trial";
    this.words.value = this.model.get("words");
    this.chips = element("span", "");
    this.chips.style.display = "contents";
    this.count = element("span", "idl-trials-count");
    this.bar.append(this.words, this.chips, this.count);
    this.scroll = element("div", "idl-trials-scroll");
    this.scroll.tabIndex = 0;
    this.scroll.setAttribute("role", "grid");
    this.scroll.setAttribute("aria-multiselectable", "true");
    // JupyterLab's shortcuts are for cells.
    this.scroll.dataset.lmSuppressShortcuts = "true";
    this.head = element("div", "idl-trials-head");
    this.body = element("div", "idl-trials-body");
    this.scroll.append(this.head, this.body);
    el.append(this.bar, this.scroll);

    this.words.addEventListener("input", () => this.set("words", this.words.value));
    this.scroll.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.scroll.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("click", (event) => this.click(event));
    this.head.addEventListener("click", (event) => this.clickHead(event));
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  // -- what comes from the kernel --

  load(columns, rows) {
    this.columns = columns;
    this.rows.clear();
    this.take(rows);
    this.measure();
    this.buildHead();
  }

  take(rows) {
    const at = performance.now();
    for (const cells of rows) this.rows.set(cells[0], { cells, at });
    this.redo();
  }

  // Order, filter or rows have changed.
  redo() {
    this.isStale = true;
    this.schedule();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  // -- drawing --

  // Columns are as wide as what is in the first rows.
  measure() {
    const sample = [...this.rows.values()].slice(0, 200);
    const widths = this.columns.map((column, at) => {
      const texts = sample.map(({ cells }) => this.text(column, cells[at], 0));
      if (column.kind === "state") return 92;
      const letters = Math.max(column.title.length + 2, ...texts.map((text) => text.length));
      const room = { steps: 44, text: 4 }[column.kind] ?? 6;
      return Math.min(Math.max(44, letters * 6.7 + room + 12), column.name === "about" ? 340 : 150);
    });
    const tracks = widths.map((width) => `${Math.round(width)}px`);
    if (tracks.length) tracks[tracks.length - 1] = `minmax(${tracks.at(-1)}, 1fr)`;
    const total = widths.reduce((sum, width) => sum + Math.round(width), 26);
    this.scroll.style.setProperty("--idl-columns", ["26px", ...tracks].join(" "));
    this.scroll.style.setProperty("--idl-width", `${total}px`);
    this.pool = [];
    this.body.replaceChildren();
  }

  buildHead() {
    const mark = element("span", "idl-trials-mark");
    mark.append(element("i", ""));
    mark.title = "Select all rows that are shown, or none";
    this.head.replaceChildren(mark);
    const [sorted, direction] = this.model.get("sort");
    for (const column of this.columns) {
      const arrow = column.name !== sorted ? "" : direction === "asc" ? " ▲" : " ▼";
      const cell = element("span", this.align(column), column.title + arrow);
      cell.dataset.column = column.name;
      cell.title = `Sort by ${column.title}`;
      cell.setAttribute("role", "columnheader");
      if (arrow) cell.setAttribute("aria-sort", direction === "asc" ? "ascending" : "descending");
      this.head.append(cell);
    }
  }

  align(column) {
    return ["text", "state", "steps"].includes(column.kind) ? "" : "idl-trials-number";
  }

  text(column, cell, elapsed) {
    if (cell === null) return "";
    if (column.kind === "time") return clock(cell + elapsed);
    if (column.kind === "state") {
      const [state, wish] = cell.split(" ");
      return WISHES[wish] ?? state;
    }
    return typeof cell === "number" ? short(cell) : cell;
  }

  sortAndFilter() {
    this.isStale = false;
    const has = parse(this.model.get("words"), this.columns);
    const states = new Set(this.model.get("states"));
    const counts = {};
    const shown = [];
    this.furthest = 1;
    for (const row of this.rows.values()) {
      const state = row.cells[1].split(" ")[0];
      counts[state] = (counts[state] ?? 0) + 1;
      this.furthest = Math.max(this.furthest, row.cells[2]);
      if ((states.size === 0 || states.has(state)) && has(row.cells)) shown.push(row);
    }
    const [name, direction] = this.model.get("sort");
    const at = Math.max(0, this.columns.findIndex((column) => column.name === name));
    if (this.columns.length) shown.sort(comparison(this.columns[at], at, direction === "desc"));
    this.order = shown;
    this.drawChips(counts, states);
  }

  drawChips(counts, states) {
    const key = JSON.stringify([counts, [...states]]);
    if (key === this.chipsShown) return;
    this.chipsShown = key;
    const chips = STATES.filter((state) => counts[state] || states.has(state)).map((state) => {
      const chip = element("button", "", `${state} ${counts[state] ?? 0}`);
      const isPressed = states.has(state);
      chip.setAttribute("aria-pressed", isPressed);
      chip.dataset.state = state;
      chip.title = isPressed ? "Show the others, too" : "Show only these";
      if (isPressed) chip.style.background = COLOURS[TONES[state]];
      chip.addEventListener("click", () => {
        const all = this.model.get("states");
        const less = all.filter((one) => one !== state);
        this.set("states", less.length < all.length ? less : [...all, state]);
      });
      return chip;
    });
    this.chips.replaceChildren(...chips);
  }

  draw() {
    if (this.isStale) this.sortAndFilter();
    const selected = new Set(this.model.get("selected"));
    this.drawCount(selected);
    // A table that is not on the page has no height.
    const height = this.height || 12 * ROW_PX;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / ROW_PX) - MARGIN_ROWS);
    const inSight = Math.ceil(height / ROW_PX) + 2 * MARGIN_ROWS;
    const last = Math.min(this.order.length, first + inSight);
    this.body.style.height = `${this.order.length * ROW_PX}px`;
    while (this.pool.length < inSight) this.pool.push(this.makeRow());
    const size = this.pool.length;
    const colours = this.model.get("colours");
    const now = performance.now();
    for (let slot = 0; slot < size; slot++) {
      const place = first + ((((slot - first) % size) + size) % size);
      this.drawRow(this.pool[slot], place < last ? place : -1, selected, colours, now);
    }
    this.drawHeadMark(selected);
  }

  drawCount(selected) {
    const parts = [`${this.order.length} of ${this.rows.size}`];
    if (selected.size) parts.push(`${selected.size} selected`);
    this.count.textContent = parts.join(" · ");
  }

  drawHeadMark(selected) {
    const mark = this.head.querySelector(".idl-trials-mark > i");
    const isAll = this.order.length > 0 && this.order.every(({ cells }) => selected.has(cells[0]));
    if (mark) mark.style.background = isAll ? "currentColor" : "";
  }

  makeRow() {
    const row = element("div", "idl-trials-row");
    row.setAttribute("role", "row");
    const mark = element("span", "idl-trials-mark");
    mark.append(element("i", ""));
    row.append(mark);
    for (const column of this.columns) row.append(element("span", this.align(column)));
    this.body.append(row);
    return { row, mark: mark.firstChild, place: undefined };
  }

  drawRow(slot, place, selected, colours, now) {
    const entry = this.order[place];
    if (!entry) {
      if (slot.entry !== null) slot.row.style.display = "none";
      slot.entry = null;
      return;
    }
    const trial = entry.cells[0];
    if (slot.place !== place || slot.entry === null) {
      slot.row.style.display = "";
      slot.row.style.transform = `translateY(${place * ROW_PX}px)`;
      slot.place = place;
    }
    const isSelected = selected.has(trial);
    const colour = colours[trial] ?? "";
    const mark = `${isSelected} ${colour} ${this.cursor === trial}`;
    if (slot.marked !== mark || slot.entry !== entry) {
      slot.marked = mark;
      slot.row.setAttribute("aria-selected", isSelected);
      slot.row.classList.toggle("idl-trials-cursor", this.cursor === trial);
      slot.mark.style.background = colour || (isSelected ? "currentColor" : "");
      slot.mark.style.borderColor = colour;
      slot.mark.style.opacity = isSelected || !colour ? 1 : 0.6;
    }
    const seconds = Math.floor((now - entry.at) / 1000);
    const isRunning = entry.cells[1].startsWith("running");
    if (slot.entry === entry && slot.furthest === this.furthest && (!isRunning || slot.seconds === seconds)) return;
    slot.entry = entry;
    slot.furthest = this.furthest;
    slot.seconds = seconds;
    slot.row.dataset.trial = trial;
    this.columns.forEach((column, at) => {
      const cell = slot.row.children[at + 1];
      this.drawCell(cell, column, entry.cells[at], isRunning ? (now - entry.at) / 1000 : 0);
    });
  }

  drawCell(cell, column, value, elapsed) {
    const text = this.text(column, value, elapsed);
    if (column.kind === "state") {
      const tone = TONES[value.split(" ")[0]] ?? "calm";
      if (cell.firstChild?.textContent === text && cell.dataset.tone === tone) return;
      cell.dataset.tone = tone;
      cell.replaceChildren(element("span", `idl-badge idl-${tone}`, text));
    } else if (column.kind === "steps") {
      if (!cell.firstChild) {
        const meter = element("span", "idl-trials-meter");
        meter.append(element("i", ""));
        cell.append(meter, "");
      }
      cell.firstChild.firstChild.style.width = `${(100 * value) / this.furthest}%`;
      cell.lastChild.data = text;
    } else if (cell.textContent !== text) {
      cell.textContent = text;
      cell.title = column.kind === "text" ? text : (value ?? "");
    }
  }

  // -- what a person does --

  clickHead({ target }) {
    if (target.closest(".idl-trials-mark")) {
      const selected = new Set(this.model.get("selected"));
      const shown = this.order.map(({ cells }) => cells[0]);
      this.set("selected", shown.every((one) => selected.has(one)) ? [] : shown);
      return;
    }
    const name = target.closest("[data-column]")?.dataset.column;
    if (!name) return;
    const [sorted, direction] = this.model.get("sort");
    this.set("sort", [name, name === sorted && direction === "asc" ? "desc" : "asc"]);
  }

  click(event) {
    const row = event.target.closest(".idl-trials-row");
    if (!row) return;
    const trial = Number(row.dataset.trial);
    const isMark = event.target.closest(".idl-trials-mark") !== null;
    if (event.shiftKey) this.selectTo(trial);
    else if (event.ctrlKey || event.metaKey || isMark) this.toggle(trial);
    else this.selectOnly(trial);
  }

  selectOnly(trial) {
    this.cursor = this.anchor = trial;
    this.set("selected", [trial]);
  }

  toggle(trial) {
    this.cursor = this.anchor = trial;
    const all = this.model.get("selected");
    const less = all.filter((one) => one !== trial);
    this.set("selected", less.length < all.length ? less : [...all, trial]);
  }

  selectTo(trial) {
    const shown = this.order.map(({ cells }) => cells[0]);
    const from = Math.max(0, shown.indexOf(this.anchor));
    const to = shown.indexOf(trial);
    this.cursor = trial;
    const range = shown.slice(Math.min(from, to), Math.max(from, to) + 1);
    this.set("selected", from < to ? range : range.reverse());
  }

  press(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
    const step = steps[event.key];
    const isMeta = event.ctrlKey || event.metaKey;
    if (step !== undefined && this.order.length) this.move(step, event.shiftKey);
    else if (event.key === " " && this.cursor !== null) this.toggle(this.cursor);
    else if (event.key === "Escape") this.set("selected", []);
    else if (event.key === "a" && isMeta) this.set("selected", this.order.map(({ cells }) => cells[0]));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(step, isExtending) {
    const at = this.order.findIndex(({ cells }) => cells[0] === this.cursor);
    const to = Math.min(this.order.length - 1, Math.max(0, at < 0 ? 0 : at + step));
    const trial = this.order[to].cells[0];
    if (isExtending) this.selectTo(trial);
    else this.selectOnly(trial);
    const top = to * ROW_PX;
    const room = this.scroll.clientHeight - 2 * ROW_PX;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    else if (top > this.scroll.scrollTop + room) this.scroll.scrollTop = top - room;
  }
}

function render({ model, el, signal }) {
  const table = new Table(model, el);
  const view = Math.random().toString(36).slice(2);
  const rowsIn = (buffer) => JSON.parse(new TextDecoder().decode(buffer));
  const hear = (message, [buffer]) => {
    if (message.type === "table" && (message.view ?? view) === view) {
      table.load(message.columns, rowsIn(buffer));
    } else if (message.type === "rows") {
      table.take(rowsIn(buffer));
    }
  };
  const on = (names, callback) => {
    for (const name of names) {
      model.on(`change:${name}`, callback);
      signal.addEventListener("abort", () => model.off(`change:${name}`, callback));
    }
  };
  on(["selected", "colours"], () => table.schedule());
  on(["words", "states"], () => table.redo());
  on(["words"], () => {
    if (table.words.value !== model.get("words")) table.words.value = model.get("words");
  });
  on(["sort"], () => {
    table.buildHead();
    table.redo();
  });
  model.on("msg:custom", hear);
  // Running trials' times go on; a table that becomes visible has a height.
  const ticking = setInterval(() => table.schedule(), 1000);
  const sized = new ResizeObserver(() => {
    table.height = table.scroll.clientHeight;
    table.schedule();
  });
  sized.observe(table.scroll);
  signal.addEventListener("abort", () => {
    model.off("msg:custom", hear);
    clearInterval(ticking);
    sized.disconnect();
  });
  model.send({ type: "hello", view });
}

export default { render };
