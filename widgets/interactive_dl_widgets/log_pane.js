// Lines that scroll; a reader who has scrolled up stays where they are.
function render({ model, el, signal }) {
  el.classList.add("idl-log");
  const view = Math.random().toString(36).slice(2);

  const append = (lines, most) => {
    const isAtEnd = el.scrollHeight - el.scrollTop - el.clientHeight < 4;
    for (const [stream, text] of lines) {
      const line = document.createElement("div");
      line.className = `idl-log-${stream}`;
      line.textContent = text;
      el.append(line);
    }
    while (el.childElementCount > most) el.firstElementChild.remove();
    if (isAtEnd) el.scrollTop = el.scrollHeight;
  };

  const hear = (message) => {
    if (message.view !== undefined && message.view !== view) return;
    if (message.view === view) el.replaceChildren();
    append(message.lines, message.most);
  };
  model.on("msg:custom", hear);
  signal.addEventListener("abort", () => model.off("msg:custom", hear));
  model.send({ type: "hello", view });
}

export default { render };
