// The layers of a network as rows with bars, in views that switches choose between without asking anybody.
// See gif_dash/figures/layers.py for the description drawn.

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
  const id = `gd-layers-${fresh()}`;
  el.classList.add("gd-network");
  const head = make("div", "gd-network-head");
  const place = make("div", "gd-scroll");
  const note = make("p", "gd-help");
  el.append(head, place, note);
  let picture = model.get("picture");
  let shown = "";

  const chosen = (item) => {
    const value = model.get("view")[item.key];
    return item.choices.some(([known]) => known === value) ? value : item.choices[0][0];
  };

  function switches() {
    const now = JSON.stringify(picture.switches);
    if (now !== shown) {
      shown = now;
      head.replaceChildren(
        ...picture.switches.map((item) => {
          const row = make("div", "gd-toggle");
          for (const [value, label] of item.choices) {
            const input = make("input", "", { type: "radio", name: `${id}-${item.key}`, value });
            input.addEventListener("change", () => {
              model.set("view", { ...model.get("view"), [item.key]: value });
              model.save_changes();
              draw();
            });
            row.append(make("label", "", {}, input, make("span", "", {}, label)));
          }
          return make("fieldset", "", { "data-switch": item.key }, make("legend", "", {}, item.title), row);
        }),
      );
    }
    picture.switches.forEach((item, at) => {
      for (const input of head.children[at].querySelectorAll("input")) input.checked = input.value === chosen(item);
    });
  }

  function cell(bar, colour, what = "td") {
    const text = make("span", "gd-network-bar", bar.note ? { title: bar.note } : {}, bar.text);
    if (bar.share !== null) {
      text.style.setProperty("--part", `${(100 * bar.share).toFixed(1)}%`);
      text.style.setProperty("--bar", colour);
    }
    if (bar.before !== null) text.append(make("i", "", { style: `left:${(100 * bar.before).toFixed(1)}%`, title: "the run before" }));
    return make(what, "gd-num", {}, text);
  }

  function draw() {
    const view = picture.views[picture.switches.map(chosen).join(" ")];
    const top = make("tr", "", {}, make("th", "", { scope: "col" }, "Layer"), make("th", "gd-num", { scope: "col" }, "Selected"));
    for (const column of picture.columns) {
      const words = make("span", "gd-network-who");
      words.insertAdjacentHTML("afterbegin", column.swatch); // our own drawing, never anybody's text
      words.append(make("span", "", {}, column.label));
      if (!column.action) {
        top.append(make("th", "gd-num", { scope: "col" }, words));
        continue;
      }
      const button = make("button", "gd-button gd-quiet", { type: "button", title: column.action, "aria-label": `${column.label}: ${column.action}` }, words, make("span", "", { "aria-hidden": "true" }, "↗"));
      button.dataset.method = column.key;
      button.addEventListener("click", () => model.send({ do: "open", method: column.key, criterion: chosen(picture.switches[0]) }));
      top.append(make("th", "gd-num", { scope: "col" }, button));
    }
    const body = make("tbody");
    picture.rows.forEach((row, at) => {
      const box = make("div", "gd-network-box", {}, make("b", "", {}, row.label), ` ${row.kind} `, make("span", "gd-muted", {}, row.parameters));
      box.style.setProperty("--size", row.size);
      const line = make("tr", "", { "data-layer": row.key }, make("th", "", { scope: "row" }, box), cell(view.selected[at], "var(--gd-control)"));
      view.bars[at].forEach((bar, column) => line.append(cell(bar, picture.columns[column].colour)));
      body.append(line);
    });
    const foot = make("tr", "gd-network-whole", {}, make("th", "", { scope: "row" }, "whole"), make("td"));
    for (const bar of view.whole) foot.append(cell(bar, ""));
    body.append(foot);
    const caption = make("span", "gd-table-caption", {}, picture.title);
    place.replaceChildren(make("table", "gd-table", {}, make("caption", "", {}, caption), make("thead", "", {}, top), body));
    note.textContent = view.note;
  }

  function build() {
    picture = model.get("picture");
    const empty = !picture.views;
    for (const part of [head, place, note]) part.hidden = empty;
    if (empty) return;
    switches();
    draw();
  }

  model.on("change:picture", build);
  model.on("change:view", () => {
    if (!picture.views) return;
    switches();
    draw();
  });
  build();
}

export default { render };
