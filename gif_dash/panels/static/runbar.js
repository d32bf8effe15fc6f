// Run, Cancel, status line, progress, error. See gif_dash/panels/bars.py.

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function render({ model, el }) {
  el.classList.add("gd-runbar");
  const buttons = make("div", "gd-buttons");
  const run = make("button", "gd-button gd-run", { type: "button" });
  const cancel = make("button", "gd-button gd-cancel", { type: "button" });
  run.textContent = "Run";
  cancel.textContent = "Cancel";
  buttons.append(run, cancel);
  const progress = make("progress", "gd-progress", { "aria-label": "Progress of the run", max: "1" });
  const line = make("div", "gd-status-line");
  const status = make("span", "gd-status", { role: "status" });
  const clock = make("span", "gd-clock gd-muted");
  line.append(status, clock);
  const error = make("p", "gd-error", { role: "alert" });
  el.append(buttons, progress, line, error);

  // Out of reach by name only while it runs: a disabled button would lose the keyboard's focus.
  run.addEventListener("click", () => model.get("running") || model.send({ do: "run" }));
  cancel.addEventListener("click", () => {
    run.focus({ preventScroll: true }); // Cancel goes away
    cancel.disabled = true;
    model.send({ do: "cancel" });
  });
  const draw = () => {
    const running = model.get("running");
    buttons.hidden = !model.get("can_run");
    run.setAttribute("aria-disabled", String(running));
    run.classList.toggle("gd-primary", model.get("primary") && !running);
    if (!running && document.activeElement === cancel) run.focus({ preventScroll: true });
    cancel.hidden = !running;
    cancel.disabled = false;
    progress.hidden = !running;
    const fraction = model.get("fraction");
    if (fraction === null) progress.removeAttribute("value");
    else progress.value = fraction;
    if (status.textContent !== model.get("status")) status.textContent = model.get("status");
    clock.textContent = model.get("clock");
    if (error.textContent !== model.get("error")) error.textContent = model.get("error");
    error.hidden = !model.get("error");
  };
  model.on("change", draw);
  draw();
}

export default { render };
