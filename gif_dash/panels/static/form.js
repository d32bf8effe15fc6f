// A form of native controls from a description of fields. See gif_dash/panels/form.py.

const MANY_CLASSES = 20; // from here on there is a box to find one
const FEW_PIXELS = 16; // pictures up to this width are enlarged a lot: smoothing would blur them
// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

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
    const more = make("details", "gd-more", {}, make("summary", "", {}, "more"));
    const inputs = field.choices.map((choice) => {
      const input = make("input", "", { type: "checkbox", value: choice.value });
      input.addEventListener("change", () =>
        put(inputs.filter(([, each]) => each.checked).map(([value]) => value)));
      const label = make("label", "", {}, input);
      label.insertAdjacentHTML("beforeend", choice.swatch ?? "");
      label.append(make("span", "", {}, choice.label));
      (choice.unusual ? more : group).append(label);
      return [choice.value, input];
    });
    if (more.children.length > 1) group.append(more);
    const unusual = field.choices.filter((choice) => choice.unusual).map((choice) => choice.value);
    return {
      element: group,
      group: true,
      show(value) {
        inputs.forEach(([own, input]) => (input.checked = value.includes(own)));
        if (unusual.some((own) => value.includes(own))) more.open = true;
      },
    };
  },
  checks(field, id, put) {
    return controls.methods(field, id, put);
  },
  class(field, id, put) {
    const select = make("select", "gd-select", { id });
    let value = null;
    select.addEventListener("change", () => put(Number(select.value)));
    const show = (now) => {
      value = now;
      select.value = String(now);
    };
    const choices = (list) => {
      select.replaceChildren(
        ...list.map((choice) => make("option", "", { value: choice.value }, `${choice.value}: ${choice.label}`)));
      show(value);
    };
    choices(Array.from({ length: 10 }, (_, place) => ({ value: place, label: "" })));
    return { element: select, labelFor: id, show, choices };
  },
  classes(field, id, put) {
    const picker = make("div", "gd-picker", { role: "group" });
    const fallback = make("input", "gd-text", { type: "text", "aria-label": `${field.title}, positions` });
    fallback.addEventListener("change", () => put(fallback.value));
    const later = make("p", "gd-help", {}, "Names and pictures to press come once the network is there; until then: positions, with commas.");
    const chips = make("div", "gd-chips", { role: "group", "aria-label": "Chosen classes" });
    const search = make("input", "gd-text", { type: "search", autocomplete: "off", spellcheck: "false" });
    const matching = make("button", "gd-button gd-quiet", { type: "button" });
    const found = make("span", "gd-muted", { role: "status" });
    const finder = make("div", "gd-finder", {}, search, make("div", "gd-found", {}, found, matching));
    const grid = make("div", "gd-classes");
    let items = []; // {value, label, button}
    let visible = [];
    let value = [];
    let pictures = null; // of many classes, only those near the eye are decoded

    const choose = (next) => {
      show([...next].sort((a, b) => a - b));
      put(value);
    };
    const toggle = (own) => choose(value.includes(own) ? value.filter((each) => each !== own) : [...value, own]);
    const show = (chosen) => {
      value = chosen;
      fallback.value = Array.isArray(chosen) ? chosen.join(", ") : chosen;
      const pressed = new Set(chosen);
      for (const item of items) item.button.setAttribute("aria-pressed", String(pressed.has(item.value)));
      chips.replaceChildren(...items.filter((item) => pressed.has(item.value)).map((item) => {
        const chip = make("button", "gd-chip", { type: "button", title: item.label, "aria-label": `Take back ${item.label}` });
        chip.append(make("span", "", { dir: "auto" }, item.label));
        chip.addEventListener("click", () => {
          toggle(item.value);
          search.focus();
        });
        return chip;
      }));
      chips.hidden = !chips.children.length;
      offerMatching();
    };
    const offerMatching = () => {
      const missing = visible.filter((item) => !value.includes(item.value));
      matching.hidden = !search.value.trim() || !visible.length;
      matching.textContent = missing.length ? `Choose ${missing.length === 1 ? "it" : `these ${missing.length}`}` : "Take back";
      matching.onclick = () => {
        const own = new Set(visible.map((item) => item.value));
        choose(missing.length ? [...value, ...missing.map((item) => item.value)] : value.filter((each) => !own.has(each)));
      };
    };
    const filter = () => {
      const text = search.value.trim().toLocaleLowerCase();
      visible = items.filter((item) => item.label.toLocaleLowerCase().includes(text));
      const kept = new Set(visible);
      for (const item of items) item.button.hidden = !kept.has(item);
      found.textContent = text ? `${visible.length} of ${items.length} classes` : `${items.length} classes`;
      reach(visible.find((item) => item.button.tabIndex === 0) ?? visible[0]);
      offerMatching();
    };
    search.addEventListener("input", filter);
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && visible.length === 1) toggle(visible[0].value);
    });
    // Of many classes one is in the tab order; the arrow keys lead to the others.
    const reach = (item) => {
      if (grid.getAttribute("role") !== "toolbar") return;
      for (const each of items) each.button.tabIndex = each === item ? 0 : -1;
    };
    grid.addEventListener("keydown", (event) => {
      const place = visible.findIndex((item) => item.button === event.target);
      if (grid.getAttribute("role") !== "toolbar" || place < 0) return;
      const row = visible.findIndex((item) => item.button.offsetTop !== visible[0].button.offsetTop);
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row > 0 ? row : 1, ArrowUp: row > 0 ? -row : -1 }[event.key];
      const next = event.key === "Home" ? visible[0] : event.key === "End" ? visible.at(-1) : step && visible[place + step];
      if (!next && !step) return;
      event.preventDefault();
      event.stopPropagation();
      if (!next) return;
      reach(next);
      next.button.focus();
    });
    const choices = (list) => {
      const many = list.length > MANY_CLASSES;
      const longest = Math.max(0, ...list.map((choice) => choice.label.length));
      pictures?.disconnect();
      pictures = many ? new IntersectionObserver(decode, { root: grid, rootMargin: "150px" }) : null;
      items = list.map((choice) => {
        const title = [choice.label, choice.note].filter(Boolean).join(": ");
        const button = make("button", "gd-class", { type: "button", title });
        if (choice.images?.length) button.append(thumbnail(choice.images[0], pictures));
        button.append(make("span", "", { dir: "auto" }, choice.label));
        button.addEventListener("click", () => {
          reach(items.find((item) => item.button === button));
          toggle(choice.value);
        });
        return { value: choice.value, label: choice.label, button };
      });
      grid.replaceChildren(...items.map((item) => item.button));
      grid.classList.toggle("gd-pictures", list.some((choice) => choice.images?.length));
      grid.dataset.names = longest <= 7 ? "short" : longest <= 16 ? "middle" : "long";
      if (many) grid.setAttribute("role", "toolbar");
      else grid.removeAttribute("role");
      if (many) grid.setAttribute("aria-label", "Classes");
      else grid.removeAttribute("aria-label");
      search.setAttribute("aria-label", `Find among ${list.length} classes`);
      search.placeholder = `Find among ${list.length} classes`;
      picker.replaceChildren(...(!list.length ? [fallback, later] : many ? [chips, finder, grid] : [grid]));
      filter();
      show(value);
    };
    choices([]);
    return { element: picker, group: true, show, choices };
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
        input.disabled = Boolean(choice.command) && !choice.recorded;
        input.addEventListener("change", () => {
          value = choice.value;
          put(choice.value);
        });
        inputs.push([choice.value, input]);
        const label = make("label", input.disabled ? "gd-off" : "", {}, input, make("span", "", {}, choice.label));
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

/** A picture of a class; with an observer, its data wait until it comes near. Few pixels are shown as pixels. */
function thumbnail(data, observer) {
  const image = make("img", "", { alt: "", decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("gd-pixels", image.naturalWidth <= FEW_PIXELS));
  const source = `data:image/png;base64,${data}`;
  if (!observer) image.src = source;
  else {
    waiting.set(image, source);
    observer.observe(image);
  }
  return image;
}

const waiting = new WeakMap();

function decode(entries, observer) {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    target.src = waiting.get(target);
    observer.unobserve(target);
  }
}

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

/** What is drawn anew in a box gives the keyboard's focus to the part that stands for the one that had it. */
function keepFocus(box, draw) {
  const had = box?.contains(document.activeElement) ? document.activeElement : null;
  draw();
  if (!had || had.isConnected) return;
  const same = [...box.querySelectorAll(had.tagName)].find((part) => part.value === had.value && part.title === had.title);
  (same ?? box.querySelector("input, select, button"))?.focus({ preventScroll: true });
}

function render({ model, el }) {
  const own = `gd-form-${fresh()}`;
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
    form.querySelector("input, select, button, summary")?.focus({ preventScroll: true }); // the button goes away
    model.set("values", model.get("defaults"));
    model.save_changes();
  });
  form.append(general, reset);
  el.append(form);

  const values = () => {
    for (const [name, value] of Object.entries(model.get("values"))) shown.get(name)?.show(value);
    reset.hidden = JSON.stringify(model.get("values")) === JSON.stringify(model.get("defaults"));
  };
  const offered = new Map();
  const choices = () => {
    for (const [name, list] of Object.entries(model.get("choices"))) {
      const text = JSON.stringify(list);
      if (offered.get(name) === text) continue; // what a person typed to find something stays
      offered.set(name, text);
      keepFocus(shown.get(name)?.box, () => shown.get(name)?.choices?.(list));
    }
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
  const hidden = () => {
    const names = new Set(model.get("hidden") ?? []);
    for (const [name, control] of shown) control.box.hidden = names.has(name);
    const folded = [...advanced.querySelectorAll(":scope > .gd-field")];
    advanced.hidden = folded.length > 0 && folded.every((box) => box.hidden);
  };
  model.on("change:hidden", hidden);
  model.on("change:disabled", disabled);
  model.on("change:values", values);
  model.on("change:choices", choices);
  model.on("change:errors", errors);
  choices();
  errors();
  if (model.get("disabled").length) disabled();
  if (model.get("hidden")?.length) hidden();
}

export default { render };
