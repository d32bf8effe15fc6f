// Take the edited network home: method, s, what the file will be, Save. See gif_dash/panels/takehome.py.

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

/** Radio buttons for a list of {value, label}; says what was chosen. */
function toggle(title, choose) {
  const name = `gd-home-${fresh()}`;
  const field = make("fieldset", "");
  const legend = make("legend", "");
  legend.textContent = title;
  const row = make("div", "gd-toggle");
  field.append(legend, row);
  let shown = "";
  const draw = (choices, chosen) => {
    const now = JSON.stringify(choices);
    if (now !== shown) {
      const known = [...row.querySelectorAll("input")].map((input) => input.value);
      if (known.join() === choices.map((choice) => choice.value).join()) {
        row.querySelectorAll("span").forEach((text, place) => (text.textContent = choices[place].label));
      } else {
        row.replaceChildren(
          ...choices.map(({ value, label }) => {
            const option = make("label", "");
            const input = make("input", "", { type: "radio", name, value });
            input.addEventListener("change", () => choose(value));
            const text = make("span", "");
            text.textContent = label;
            option.append(input, text);
            return option;
          }),
        );
      }
      shown = now;
    }
    for (const input of row.querySelectorAll("input")) input.checked = input.value === chosen;
  };
  return { field, draw };
}

function render({ model, el }) {
  el.classList.add("gd-home");
  const set = (name) => (value) => {
    model.set(name, value);
    model.save_changes();
  };
  const method = toggle("Method", set("method"));
  const at = toggle("Influence scalar s", set("at"));
  const choices = make("div", "gd-choices");
  choices.append(method.field, at.field);
  const words = make("p", "");
  const code = make("div", "gd-code");
  const lines = make("pre", "");
  const copy = make("button", "gd-button gd-quiet", { type: "button" });
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", "Copy the lines that load the file");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(lines); // no permission: the person's own Ctrl+C will do
      copy.textContent = "Selected";
    }
    setTimeout(() => (copy.textContent = "Copy"), 3000);
  });
  code.append(lines, copy);
  const note = make("p", "gd-help");
  const buttons = make("div", "gd-buttons");
  const save = make("button", "gd-button gd-primary gd-run", { type: "button" });
  const cancel = make("button", "gd-button gd-cancel", { type: "button" });
  save.textContent = "Save";
  cancel.textContent = "Cancel";
  buttons.append(save, cancel);
  const progress = make("progress", "gd-progress", { "aria-label": "Progress of the file", max: "1" });
  const status = make("p", "gd-status gd-muted", { role: "status" });
  const error = make("p", "gd-error", { role: "alert" });
  el.append(choices, words, code, note, buttons, progress, status, error);

  save.addEventListener("click", () => model.send({ do: "save" }));
  cancel.addEventListener("click", () => {
    cancel.disabled = true;
    model.send({ do: "cancel" });
  });
  const put = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
    element.hidden = !text;
  };
  const draw = () => {
    method.draw(model.get("methods"), model.get("method"));
    at.draw(model.get("places"), model.get("at"));
    put(words, model.get("words"));
    put(lines, model.get("code"));
    put(note, model.get("note"));
    const running = model.get("running");
    save.disabled = running;
    cancel.hidden = progress.hidden = !running;
    cancel.disabled = false;
    const fraction = model.get("fraction");
    if (fraction === null) progress.removeAttribute("value");
    else progress.value = fraction;
    if (status.textContent !== model.get("status")) status.textContent = model.get("status");
    put(error, model.get("error"));
  };
  model.on("change", draw);
  draw();
}

export default { render };
