// HTML whose parts can be asked about: a press on anything with data-ask says so. See gif_dash/panels/asking.py.

function render({ model, el }) {
  el.classList.add("gd-asking");
  const fill = () => {
    const focused = el.contains(document.activeElement) ? document.activeElement.dataset.ask : undefined;
    el.innerHTML = model.get("html"); // our own tables, made from escaped text
    // who pressed a button with the keyboard stays on it
    if (focused !== undefined) el.querySelector(`[data-ask="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  el.addEventListener("click", (event) => {
    const part = event.target.closest("[data-ask]");
    if (part && el.contains(part)) model.send({ do: "ask", what: part.dataset.ask });
  });
  model.on("change:html", fill);
  fill();
}

export default { render };
