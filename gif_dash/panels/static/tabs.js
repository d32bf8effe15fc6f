// A row of tabs after the WAI-ARIA pattern, opened by hand: the arrow keys move along, Enter or Space opens. What a tab
// shows may have to be computed, so that passing by must not open it. See gif_dash/panels/bars.py.

function render({ model, el }) {
  el.classList.add("gd-tabs");
  const list = document.createElement("div");
  list.setAttribute("role", "tablist");
  el.append(list);

  const select = (place) => {
    model.set("selected", place);
    model.save_changes();
  };
  const draw = () => {
    const titles = model.get("titles");
    const selected = model.get("selected");
    list.setAttribute("aria-label", model.get("label"));
    while (list.children.length < titles.length) {
      const tab = document.createElement("button");
      const place = list.children.length;
      tab.type = "button";
      tab.setAttribute("role", "tab");
      tab.addEventListener("click", () => select(place));
      tab.addEventListener("keydown", (event) => {
        const count = model.get("titles").length;
        const target = { ArrowRight: place + 1, ArrowLeft: place - 1 + count, Home: 0, End: count - 1 }[event.key];
        if (target === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        list.children[target % count].focus();
      });
      list.append(tab);
    }
    titles.forEach((title, place) => {
      const tab = list.children[place];
      tab.id = `gd-tab-${place}`;
      tab.textContent = title;
      tab.setAttribute("aria-selected", String(place === selected));
      tab.tabIndex = place === selected ? 0 : -1;
    });
  };
  model.on("change:titles change:selected", draw);
  draw();
}

export default { render };
