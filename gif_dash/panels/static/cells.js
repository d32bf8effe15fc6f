// A grid of cells that can be pressed, in several views that switches choose between without asking anybody.
// See gif_dash/figures/cells.py for the description drawn.

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  const id = `gd-cells-${fresh()}`;
  el.classList.add("gd-cells");
  const head = make("div", "gd-cells-head");
  const place = make("div", "gd-scroll");
  const key = make("div", "gd-cells-key");
  const note = make("p", "gd-cells-note gd-muted", { id: `${id}-note` });
  el.append(head, place, key, note);

  let grid = model.get("grid");
  let buttons = []; // by row, then column
  let focused = [0, 0]; // the one that the Tab key reaches
  let shownSwitches = "";
  let built = "";

  const chosen = (item) => {
    const value = model.get("view")[item.key];
    return item.choices.some(([known]) => known === value) ? value : item.choices[0][0];
  };
  const view = () => grid.views[grid.switches.map(chosen).join(" ")];

  function switches() {
    const now = JSON.stringify(grid.switches);
    if (now !== shownSwitches) {
      shownSwitches = now;
      head.replaceChildren(
        ...grid.switches.map((item) => {
          const row = make("div", "gd-toggle");
          for (const [value, label] of item.choices) {
            const input = make("input", "", { type: "radio", name: `${id}-${item.key}`, value });
            input.addEventListener("change", () => {
              model.set("view", { ...model.get("view"), [item.key]: value });
              model.save_changes();
              fill();
            });
            row.append(make("label", "", {}, input, make("span", "", {}, label)));
          }
          return make("fieldset", "", { "data-switch": item.key }, make("legend", "", {}, item.title), row);
        }),
      );
    }
    grid.switches.forEach((item, at) => {
      for (const input of head.children[at].querySelectorAll("input")) input.checked = input.value === chosen(item);
    });
    head.hidden = !grid.switches.length;
  }

  function dress(element, cell) {
    element.replaceChildren(make("span", "", {}, cell.text));
    if (cell.below) element.append(make("small", "", {}, cell.below));
    element.style.setProperty("--share", cell.share ?? 0);
  }

  const say = (text) => {
    note.textContent = text;
  };
  const rest = () => say(grid.action ?? "");

  function move(event, row, column) {
    const last = [grid.rows.length - 1, grid.columns.length - 1];
    const to = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? last[0] : row, last[1]],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    if (to.some((at, side) => at < 0 || at > last[side])) return;
    buttons[to[0]][to[1]].focus();
  }

  function build() {
    grid = model.get("grid");
    const empty = !grid.views;
    for (const part of [head, place, key, note]) part.hidden = empty;
    if (empty) return;
    switches();
    const heads = [grid.rows, grid.columns, view().footer.map(([item]) => item)];
    const now = JSON.stringify([grid.title, grid.corner, heads]);
    if (now === built) {
      fill(); // only numbers have changed: pointer and focus stay where they are
      return;
    }
    built = now;
    const had = el.contains(document.activeElement) && document.activeElement.classList.contains("gd-cell");
    const corner = make("td", "", {}, grid.corner);
    const top = grid.columns.map((item) => make("th", "", { scope: "col", "data-column": item.key }, item.label));
    const body = make("tbody");
    focused = [Math.min(focused[0], grid.rows.length - 1), Math.min(focused[1], grid.columns.length - 1)];
    const label = (item) => {
      const text = make("span", "", {}, item.label);
      if (item.swatch) text.insertAdjacentHTML("afterbegin", item.swatch); // our own drawing, never anybody's text
      return make("th", "", { scope: "row" }, text);
    };
    buttons = grid.rows.map((item, row) => {
      const line = make("tr", "", { "data-row": item.key }, label(item));
      const made = grid.columns.map((column, at) => {
        const button = make("button", "gd-cell", { type: "button", "data-column": column.key, "aria-describedby": `${id}-note` });
        button.dataset.lmSuppressShortcuts = "true";
        button.addEventListener("click", () => {
          if (button.getAttribute("aria-disabled") === "true") return;
          model.send({ do: "press", row: item.key, column: column.key });
        });
        button.addEventListener("keydown", (event) => move(event, row, at));
        button.addEventListener("focus", () => {
          buttons[focused[0]][focused[1]].tabIndex = -1;
          focused = [row, at];
          button.tabIndex = 0;
          say(view().cells[row][at].note);
        });
        button.addEventListener("blur", rest);
        button.addEventListener("pointerenter", () => say(view().cells[row][at].note));
        button.addEventListener("pointerleave", rest);
        line.append(make("td", "", {}, button));
        return button;
      });
      body.append(line);
      return made;
    });
    const foot = make("tbody", "gd-cells-foot");
    for (const [item] of view().footer) {
      const cell = make("td", "", { colspan: grid.columns.length }, make("span", "gd-cell"));
      foot.append(make("tr", "", { "data-row": item.key }, label(item), cell));
    }
    const caption = make("caption", "", {}, grid.title);
    place.replaceChildren(make("table", "", {}, caption, make("thead", "", {}, make("tr", "", {}, corner, ...top)), body, foot));
    fill();
    if (had) buttons[focused[0]][focused[1]].focus();
    else rest();
  }

  function fill() {
    const now = view();
    const [selectedRow, selectedColumn] = model.get("selected");
    buttons.forEach((line, row) =>
      line.forEach((button, column) => {
        const cell = now.cells[row][column];
        dress(button, cell);
        const name = `${grid.rows[row].label}, ${grid.columns[column].label}: ${cell.text || "nothing yet"}${cell.below ? ` ${cell.below}` : ""}`;
        button.setAttribute("aria-label", name);
        button.classList.toggle("gd-off", !cell.enabled);
        button.setAttribute("aria-disabled", String(!cell.enabled));
        const selected = grid.rows[row].key === selectedRow && grid.columns[column].key === selectedColumn;
        if (selected) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
        button.tabIndex = row === focused[0] && column === focused[1] ? 0 : -1;
      }),
    );
    now.footer.forEach(([, cell], at) => {
      const span = place.querySelectorAll(".gd-cells-foot .gd-cell")[at];
      dress(span, cell);
      span.title = cell.note;
    });
    const scale = make("span", "gd-cells-scale", { "aria-hidden": "true" });
    key.replaceChildren(...(now.high ? [make("span", "", {}, now.low), scale, make("span", "", {}, now.high)] : []), make("span", "", {}, now.note));
  }

  model.on("change:grid", build);
  model.on("change:view", () => {
    if (!grid.views) return;
    switches();
    fill();
  });
  model.on("change:selected", () => grid.views && fill());
  build();
}

export default { render };
