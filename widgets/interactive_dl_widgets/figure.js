// A Bokeh plot whose document and columns come from the kernel. figure.py has the messages.

// One BokehJS for all figures of a page, whichever of them asks first.
const page = (globalThis.interactive_dl ??= { bokeh: {} });

async function run(gzipped) {
  const plain = new Blob([gzipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(plain).text();
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const script = document.createElement("script");
  script.src = url;
  try {
    await new Promise((resolve, reject) => {
      script.onload = resolve;
      script.onerror = () => reject(new Error("BokehJS did not load"));
      document.head.append(script);
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}

// `fetchGzipped` is called if the page has no such BokehJS and nobody has asked for it yet.
async function loadBokeh(version, fetchGzipped) {
  if (!globalThis.Bokeh?.[version]) {
    page.bokeh[version] ??= fetchGzipped().then(run);
    try {
      await page.bokeh[version];
    } finally {
      delete page.bokeh[version];
    }
  }
  return globalThis.Bokeh[version];
}

const GONE = Symbol("the figure that asked for BokehJS is gone");

function askKernel(model, signal) {
  return new Promise((resolve, reject) => {
    const hear = (message, buffers) => {
      if (message.type !== "library") return;
      model.off("msg:custom", hear);
      resolve(buffers[0]);
    };
    model.on("msg:custom", hear);
    signal.addEventListener("abort", () => reject(GONE));
    model.send({ type: "library" });
  });
}

// The canvas knows no CSS variables: their values are copied into the plot's models.
function paint(root, element) {
  const style = getComputedStyle(element);
  const colour = (name, other) => style.getPropertyValue(name).trim() || other;
  const text = colour("--jp-ui-font-color1", "#333");
  const faint = colour("--jp-ui-font-color2", "#666");
  const line = colour("--jp-border-color2", "#ddd");
  const ground = colour("--jp-layout-color1", "#fff");
  const values = {
    background_fill_color: null,
    border_fill_color: null,
    outline_line_color: null,
    border_line_color: null,
    axis_label_text_color: faint,
    major_label_text_color: faint,
    axis_line_color: line,
    major_tick_line_color: line,
    minor_tick_line_color: null,
    grid_line_color: line,
    label_text_color: text,
    title_text_color: faint,
  };
  const legend = { background_fill_color: ground, background_fill_alpha: 0.7 };
  const label = { text_color: text, ...legend };
  for (const model of root.references()) {
    const own = { Legend: legend, Text: label }[model.type];
    const wanted = { ...values, ...own };
    const known = Object.entries(wanted).filter(([name]) => name in model.properties);
    if (!/Toolbar|Tool$|Tooltip/.test(model.type)) model.setv(Object.fromEntries(known));
    if (model.type === "Title") model.text_color = text;
  }
}

// New columns of a source: the first `keep` rows of the old ones, then what came.
function patched(source, patch, buffers) {
  const data = {};
  const kept = (name) => (patch.keep ? source.get_column(name) : []);
  for (const [name, texts] of Object.entries(patch.texts)) {
    data[name] = [...Array.from(kept(name)).slice(0, patch.keep), ...texts];
  }
  for (const name of patch.numbers) {
    const { buffer, byteOffset, byteLength } = buffers.shift();
    // A copy: a float64 array cannot begin at any byte.
    const tail = new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength));
    const old = kept(name);
    const column = new Float64Array(patch.keep + tail.length);
    for (let row = 0; row < patch.keep; row++) column[row] = old[row];
    column.set(tail, patch.keep);
    data[name] = column;
  }
  return data;
}

// What is drawn in one element: a document, which later messages change.
class Drawing {
  // `brushed` is called with each box that a person has drawn.
  constructor(Bokeh, element, brushed = () => {}) {
    this.Bokeh = Bokeh;
    this.element = element;
    this.brushed = brushed;
  }

  async show({ doc, root }) {
    this.remove();
    this.views = await this.Bokeh.embed.embed_item({ doc, root_id: root }, this.element);
    this.root = this.views.roots[0].model;
    this.root.document.on_event("selectiongeometry", (_document, { geometry, final }) => {
      if (final && geometry.type === "rect") this.brushed(geometry);
    });
    this.paint();
  }

  patch({ sources }, buffers) {
    if (!this.root) return;
    const left = [...buffers];
    for (const [name, patch] of Object.entries(sources)) {
      const source = this.root.select_one(name);
      source.data = patched(source, patch, left);
    }
  }

  paint() {
    if (this.root) paint(this.root, this.element);
  }

  remove() {
    for (const view of this.views?.roots ?? []) view.remove();
    this.views = this.root = undefined;
  }
}

// Calls back whenever JupyterLab has changed its theme.
function followTheme(callback, signal) {
  const observer = new MutationObserver(() => requestAnimationFrame(callback));
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  signal.addEventListener("abort", () => observer.disconnect());
}

// The picture that a saved notebook shows is not needed where the figure itself is alive.
function hideStill(still, signal) {
  if (!still) return;
  const style = document.createElement("style");
  style.textContent = `[data-still="${still}"] { display: none }`;
  document.head.append(style);
  signal.addEventListener("abort", () => style.remove());
}

async function render({ model, el, signal }) {
  el.classList.add("idl-figure");
  let Bokeh;
  while (!Bokeh && !signal.aborted) {
    try {
      Bokeh = await loadBokeh(model.get("_bokeh"), () => askKernel(model, signal));
    } catch (error) {
      if (error !== GONE) throw error; // else this figure asks
    }
  }
  if (signal.aborted) return;

  const view = Math.random().toString(36).slice(2);
  const drawing = new Drawing(Bokeh, el, ({ x0, x1, y0, y1 }) => {
    model.send({ type: "brush", box: [x0, x1, y0, y1] });
  });
  let work = Promise.resolve();
  // In order: a document takes a moment, and its patches must not overtake it.
  const then = (task) => {
    work = work.then(task).catch((error) => console.error("interactive_dl figure", error));
  };
  const sayHello = () => model.send({ type: "hello", view });
  const show = async (message) => {
    try {
      await drawing.show(message);
    } catch (error) {
      if (el.isConnected) throw error;
      // BokehJS draws in a page only, and a notebook takes cells out that are scrolled far away.
      visible(el, signal).then(sayHello);
      return;
    }
    hideStill(model.get("still"), signal);
  };
  const hear = (message, buffers) => {
    if (message.type === "document" && (message.view ?? view) === view) {
      then(() => show(message));
    } else if (message.type === "columns") {
      then(() => drawing.patch(message, buffers));
    }
  };
  model.on("msg:custom", hear);
  followTheme(() => drawing.paint(), signal);
  signal.addEventListener("abort", () => {
    model.off("msg:custom", hear);
    then(() => drawing.remove());
  });
  sayHello();
}

// Waits until an element is on the page, and there to be seen.
function visible(element, signal) {
  return new Promise((resolve) => {
    const observer = new ResizeObserver(() => {
      if (element.getClientRects().length === 0) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(element);
    signal?.addEventListener("abort", () => observer.disconnect());
  });
}

// The pictures of a saved notebook: the same drawing, once, without a kernel. Each is drawn when it
// is first seen: never, where the figure itself is alive. An output that is shown twice is on the
// page twice, and each copy runs this: whichever copy is not taken yet is drawn.
export function stills(id, version, messages, library) {
  for (const copy of document.querySelectorAll(`[data-still="${id}"]:not([data-taken])`)) {
    copy.dataset.taken = "";
    const cells = copy.querySelectorAll(".idl-cell > div:last-child");
    messages.forEach((message, at) => still(cells[at], version, message, library));
  }
}

async function still(element, version, message, library) {
  await visible(element);
  const Bokeh = await loadBokeh(version, async () => library()); // few pages show it: unpacked late
  const drawing = new Drawing(Bokeh, element);
  try {
    await drawing.show(message);
  } catch (error) {
    if (element.isConnected) throw error;
    return; // a newer picture is in its place
  }
  followTheme(() => drawing.paint(), new AbortController().signal);
}

export default { render };
