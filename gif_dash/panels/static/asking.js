// HTML whose parts can be asked about: a press on anything with data-ask says so. See gif_dash/panels/asking.py.

function render({ model, el }) {
  el.classList.add("gd-asking");
  const fill = () => (el.innerHTML = model.get("html")); // our own tables, made from escaped text
  el.addEventListener("click", (event) => {
    const part = event.target.closest("[data-ask]");
    if (part && el.contains(part)) model.send({ do: "ask", what: part.dataset.ask });
  });
  model.on("change:html", fill);
  fill();
}

export default { render };
