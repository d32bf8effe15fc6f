// The heading of a fold; its content is the next widget. See gif_dash/panels/bars.py.

function render({ model, el }) {
  el.classList.add("gd-fold-head");
  const button = document.createElement("button");
  button.type = "button";
  const title = document.createElement("span");
  const note = document.createElement("span");
  note.className = "gd-muted";
  button.append(title, note);
  el.append(button);
  button.addEventListener("click", () => {
    model.set("expanded", !model.get("expanded"));
    model.save_changes();
  });
  const draw = () => {
    title.textContent = model.get("title");
    note.textContent = model.get("note");
    button.setAttribute("aria-expanded", String(model.get("expanded")));
  };
  model.on("change:title change:note change:expanded", draw);
  draw();
}

export default { render };
