// A form of native controls from a description of fields. See gif_dash/panels/form.py.

let forms = 0;

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Every control: {element, show(value), choices(list)?}. `put` takes what the person chose. */
const controls = {
  range(field, id, put) {
    const log = field.log;
    const steps = log ? 300 : 0;
    const slider = make("input", "gd-range", { type: "range", id, ...(log
      ? { min: 0, max: steps, step: 1 }
      : { min: field.min, max: field.max, step: field.step }) });
    const exact = exactNumber(field, put);
    const toValue = (place) => {
      if (!log) return Number(place);
      const value = field.min * (field.max / field.min) ** (place / steps);
      return field.integer ? Math.round(Number(value.toPrecision(2))) : Number(value.toPrecision(2));
    };
    const toPlace = (value) => (log ? (steps * Math.log(value / field.min)) / Math.log(field.max / field.min) : value);
    slider.addEventListener("input", () => {
      const value = toValue(slider.value);
      exact.input.value = value;
      slider.setAttribute("aria-valuetext", `${value} ${field.unit}`);
      put(value);
    });
    return {
      element: slider,
      aside: exact.element,
      labelFor: id,
      show(value) {
        exact.show(value);
        slider.value = toPlace(value);
        slider.setAttribute("aria-valuetext", `${value} ${field.unit}`);
      },
    };
  },
  number(field, id, put) {
    const exact = exactNumber(field, put, id);
    return { element: make("span"), aside: exact.element, labelFor: id, show: exact.show };
  },
  text(field, id, put) {
    const input = make("input", "gd-text", { type: "text", id, autocomplete: "off", spellcheck: "false" });
    input.addEventListener("change", () => put(input.value));
    return {
      element: input,
      labelFor: id,
      show(value) {
        input.value = Array.isArray(value) ? value.join(", ") : value;
      },
    };
  },
  indices(field, id, put) {
    const control = controls.text(field, id, put);
    control.element.placeholder = "for example 0, 17, 256";
    return control;
  },
  select(field, id, put) {
    const select = make("select", "gd-select", { id });
    select.append(...field.choices.map((choice) => make("option", "", { value: choice.value }, choice.label)));
    select.addEventListener("change", () => put(select.value));
    return { element: select, labelFor: id, show: (value) => (select.value = value) };
  },
  toggle(field, id, put) {
    const group = make("div", "gd-toggle", { role: "radiogroup" });
    const inputs = field.choices.map((choice) => {
      const input = make("input", "", { type: "radio", name: id, value: choice.value });
      input.addEventListener("change", () => put(choice.value));
      group.append(make("label", "", {}, input, make("span", "", {}, String(choice.label))));
      return [choice.value, input];
    });
    return { element: group, group: true, show: (value) => inputs.forEach(([own, input]) => (input.checked = own === value)) };
  },
  methods(field, id, put) {
    const group = make("div", "gd-methods", { role: "group" });
    const inputs = field.choices.map((choice) => {
      const input = make("input", "", { type: "checkbox", value: choice.value });
      input.addEventListener("change", () =>
        put(inputs.filter(([, each]) => each.checked).map(([value]) => value)));
      const label = make("label", "", {}, input);
      label.insertAdjacentHTML("beforeend", choice.swatch ?? "");
      label.append(make("span", "", {}, choice.label));
      group.append(label);
      return [choice.value, input];
    });
    return { element: group, group: true, show: (value) => inputs.forEach(([own, input]) => (input.checked = value.includes(own))) };
  },
  classes(field, id, put) {
    const group = make("div", "gd-classes", { role: "group" });
    const fallback = make("input", "gd-text", { type: "text", "aria-label": `${field.title}, positions` });
    fallback.addEventListener("change", () => put(fallback.value));
    let buttons = [];
    let value = [];
    const show = (chosen) => {
      value = chosen;
      fallback.value = Array.isArray(chosen) ? chosen.join(", ") : chosen;
      for (const [own, button] of buttons) button.setAttribute("aria-pressed", String(chosen.includes(own)));
    };
    const choices = (list) => {
      buttons = list.map((choice) => {
        const button = make("button", "gd-class", { type: "button", title: choice.note ?? "" });
        for (const [place, image] of (choice.images ?? []).entries()) {
          button.append(make("img", place ? "gd-more" : "", { src: `data:image/png;base64,${image}`, alt: "" }));
        }
        button.append(make("span", "", {}, choice.label));
        button.addEventListener("click", () => {
          const next = value.includes(choice.value) ? value.filter((each) => each !== choice.value) : [...value, choice.value];
          show(next.sort((a, b) => a - b));
          put(value);
        });
        return [choice.value, button];
      });
      group.replaceChildren(...(list.length ? buttons.map(([, button]) => button) : [fallback]));
      group.classList.toggle("gd-pictures", list.some((choice) => choice.images?.length));
      show(value);
    };
    choices([]);
    return { element: group, group: true, show, choices };
  },
  scenario(field, id, put) {
    const group = make("div", "gd-scenarios", { role: "radiogroup" });
    let inputs = [];
    let value = "";
    const show = (chosen) => {
      value = chosen;
      inputs.forEach(([own, input]) => (input.checked = own === chosen));
    };
    const choices = (list) => {
      inputs = [];
      group.replaceChildren(...list.map((choice) => {
        const input = make("input", "", { type: "radio", name: id, value: choice.value });
        input.disabled = Boolean(choice.command);
        input.addEventListener("change", () => {
          value = choice.value;
          put(choice.value);
        });
        inputs.push([choice.value, input]);
        const label = make("label", choice.command ? "gd-off" : "", {}, input, make("span", "", {}, choice.label));
        const note = make("p", "gd-help", {}, choice.note ?? "");
        if (choice.command) note.append(" Prepare it with ", make("code", "", {}, choice.command));
        return make("div", "gd-scenario", {}, label, note);
      }));
      show(value);
    };
    choices([]);
    return { element: group, group: true, show, choices };
  },
};

function exactNumber(field, put, id = "") {
  const input = make("input", "gd-number", { type: "number", step: field.integer ? 1 : "any" });
  if (id) input.id = id;
  else input.setAttribute("aria-label", `${field.title}, exact value`);
  let last = "";
  input.addEventListener("change", () => {
    if (input.value === "" || !Number.isFinite(input.valueAsNumber)) input.value = last;
    else put(input.valueAsNumber);
  });
  const element = make("span", "gd-exact", {}, input);
  if (field.unit) element.append(make("span", "gd-muted", {}, field.unit));
  return {
    input,
    element,
    show(value) {
      last = String(value);
      if (document.activeElement !== input || Number(input.value) !== Number(value)) input.value = last;
    },
  };
}

function render({ model, el }) {
  const own = `gd-form-${++forms}`;
  el.classList.add("gd-form");
  const form = make("form", "", { "aria-label": model.get("label") });
  form.addEventListener("submit", (event) => event.preventDefault());
  const advanced = make("details", "gd-advanced", {}, make("summary", "", {}, "Advanced settings"));
  const shown = new Map();

  for (const field of model.get("fields")) {
    if (field.hidden) continue;
    const id = `${own}-${field.name}`;
    const put = (value) => {
      model.set("values", { ...model.get("values"), [field.name]: value });
      model.save_changes();
    };
    const control = controls[field.kind](field, id, put);
    const help = make("p", "gd-help", { id: `${id}-help` }, field.help);
    help.hidden = !field.help;
    const error = make("p", "gd-error", { id: `${id}-error`, role: "alert" });
    error.hidden = true;
    const title = control.group
      ? make("span", "gd-label", { id: `${id}-label` }, field.title)
      : make("label", "gd-label", { for: control.labelFor, id: `${id}-label` }, field.title);
    if (control.group) control.element.setAttribute("aria-labelledby", `${id}-label`);
    control.element.setAttribute("aria-describedby", `${id}-help`);
    const head = make("div", "gd-field-head", {}, title, ...(control.aside ? [control.aside] : []));
    const box = make("div", `gd-field gd-kind-${field.kind}`, { title: field.allowed ?? "" }, head, control.element, help, error);
    (field.advanced ? advanced : form).append(box);
    shown.set(field.name, { ...control, error, box });
  }
  if (advanced.children.length > 1) form.append(advanced);
  const general = make("p", "gd-error", { role: "alert" });
  const reset = make("button", "gd-button gd-quiet gd-reset", { type: "button" }, "Reset to defaults");
  reset.addEventListener("click", () => {
    model.set("values", model.get("defaults"));
    model.save_changes();
  });
  form.append(general, reset);
  el.append(form);

  const values = () => {
    for (const [name, value] of Object.entries(model.get("values"))) shown.get(name)?.show(value);
    reset.hidden = JSON.stringify(model.get("values")) === JSON.stringify(model.get("defaults"));
  };
  const choices = () => {
    for (const [name, list] of Object.entries(model.get("choices"))) shown.get(name)?.choices?.(list);
    values();
  };
  const errors = () => {
    const found = model.get("errors");
    general.textContent = found[""] ?? "";
    general.hidden = !found[""];
    for (const [name, control] of shown) {
      control.error.textContent = found[name] ?? "";
      control.error.hidden = !found[name];
      control.element.toggleAttribute("data-wrong", Boolean(found[name]));
      if (found[name] && advanced.contains(control.error)) advanced.open = true;
    }
  };
  const disabled = () => {
    for (const [name, control] of shown) {
      const off = model.get("disabled").includes(name);
      control.box.classList.toggle("gd-fixed", off);
      for (const part of control.box.querySelectorAll("input, select, button")) part.disabled = off;
    }
  };
  model.on("change:disabled", disabled);
  model.on("change:values", values);
  model.on("change:choices", choices);
  model.on("change:errors", errors);
  choices();
  errors();
  if (model.get("disabled").length) disabled();
}

export default { render };
