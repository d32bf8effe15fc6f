// The words of a lesson, its questions, and the way on and back; a row of links where none is going on.
// What a person predicts stays here. See gif_dash/lessons/guide.py.

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function words(tag, className, html) {
  const element = make(tag, className);
  element.innerHTML = html; // our own text
  return element;
}

function render({ model, el }) {
  el.classList.add("gd-lesson");
  const inVoila = document.body.dataset.voila !== undefined;
  const predictions = new Map(); // "lesson step" → position of the choice
  const revealed = new Set(); // "lesson step"
  const key = (step = model.get("step")) => `${model.get("lesson").name} ${step}`;

  /** Asks for something as a value, not as a message: a message overtakes values that wait, the step among them. */
  const ask = (what, name = "") => {
    followFocus();
    model.set("asked", { do: what, name, count: (model.get("asked").count ?? 0) + 1 });
    model.save_changes();
  };

  const button = (text, className, click) => {
    const made = make("button", `gd-button ${className}`, { type: "button" }, text);
    made.addEventListener("click", click);
    return made;
  };
  /** A lesson by name: an address on the served page, so that it can be kept and passed on; nothing is loaded anew. */
  const link = (name, text) => {
    const made = make("a", "", { href: inVoila ? `${location.pathname}?lesson=${name}` : "#" }, text);
    made.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      ask("start", name);
    });
    return made;
  };

  // --- which lessons there are --------------------------------------------------------------------------------------

  function offer() {
    const row = make("nav", "gd-lesson-row", { "aria-label": "Lessons" }, make("span", "gd-muted", {}, "Lessons:"));
    for (const one of model.get("offers")) row.append(link(one.name, one.title));
    const left = model.get("offers").find((one) => one.name === model.get("left"));
    if (left) row.append(button(`Back to “${left.title}”`, "gd-quiet", () => ask("back", left.name)));
    el.replaceChildren(row);
  }

  function list() {
    const items = model.get("offers").map((one) =>
      make("li", "", {}, make("b", "", {}, link(one.name, one.title)), make("span", "gd-muted", {}, ` about ${one.minutes} minutes`), make("p", "", {}, one.summary)),
    );
    el.replaceChildren(make("nav", "gd-lesson-list", { "aria-label": "Lessons" }, make("h2", "", {}, "Lessons"), make("ul", "", {}, ...items)));
  }

  // --- a step -------------------------------------------------------------------------------------------------------

  const go = (step) => {
    const lesson = model.get("lesson");
    if (step < 0 || step >= lesson.steps.length) return;
    model.set("step", step);
    model.set("revealed", revealed.has(key(step)));
    model.save_changes();
    draw();
    el.querySelector("h2")?.focus({ preventScroll: false });
  };
  const reveal = () => {
    if (revealed.has(key())) return;
    revealed.add(key());
    model.set("revealed", true);
    model.save_changes();
    draw();
    el.querySelector(".gd-answer")?.focus();
  };

  function question(step) {
    const asked = step.question;
    const open = !revealed.has(key());
    const box = make("section", "gd-question", { "aria-label": "Question" }, words("p", "gd-question-text", asked.text));
    const choices = make("div", "gd-choices", { role: "group", "aria-label": open ? "Your prediction" : "The answers" });
    const show = button("Show what happens", predictions.has(key()) ? "gd-primary" : "", reveal);
    asked.choices.forEach((text, place) => {
      const choice = button("", "gd-choice", () => {
        if (revealed.has(key())) return;
        predictions.set(key(), place);
        for (const [other, each] of [...choices.children].entries()) each.setAttribute("aria-pressed", String(other === place));
        show.classList.add("gd-primary");
      });
      choice.append(make("span", "gd-choice-key", { "aria-hidden": "true" }, String(place + 1)), make("span", "", {}, text));
      choice.setAttribute("aria-pressed", String(predictions.get(key()) === place));
      if (!open) {
        choice.disabled = true;
        if (place === asked.answer) {
          choice.classList.add("gd-right");
          choice.append(make("span", "gd-choice-mark", {}, "✓ so it is"));
        } else if (place === predictions.get(key())) {
          choice.append(make("span", "gd-choice-mark", {}, "your prediction"));
        }
      }
      choices.append(choice);
    });
    box.append(choices);
    if (open) box.append(show);
    else {
      const said = predictions.get(key());
      const verdict = said === undefined ? "" : said === asked.answer ? "<b>As you predicted.</b> " : "<b>Not as you predicted.</b> ";
      const answer = words("div", "gd-answer", `<p>${verdict}${asked.why}</p>`);
      answer.tabIndex = -1;
      box.append(answer);
    }
    return box;
  }

  /** Of the questions answered so far, how many came as predicted; at the end. */
  function tally() {
    const { steps } = model.get("lesson");
    const said = steps.map((step, place) => [step.question, predictions.get(key(place)), revealed.has(key(place))]);
    const told = said.filter(([asked, choice, open]) => asked && choice !== undefined && open);
    if (!told.length) return "";
    const right = told.filter(([asked, choice]) => choice === asked.answer).length;
    return `You predicted ${right} of ${told.length} as it came. Nobody else has seen it.`;
  }

  function draw() {
    const had = el.contains(document.activeElement);
    redraw();
    if (had) takeFocus();
  }

  /** The button that had the keyboard's focus is gone: the card's first words or link have it. */
  const takeFocus = () => {
    if ((document.activeElement ?? document.body) === document.body) el.querySelector("h2[tabindex], a, button")?.focus({ preventScroll: true });
  };

  /** Between a lesson and all controls the card itself is out of sight for a moment, which loses the focus once more. */
  let following = 0;
  function followFocus(left = 30) {
    clearTimeout(following);
    following = setTimeout(() => {
      takeFocus();
      if (left) followFocus(left - 1);
    }, 100);
  }

  function redraw() {
    const lesson = model.get("lesson");
    el.classList.toggle("gd-lesson-on", Boolean(lesson.steps));
    if (!lesson.steps) {
      (model.get("listed") ? list : offer)();
      return;
    }
    const at = Math.min(Math.max(model.get("step"), 0), lesson.steps.length - 1);
    const step = lesson.steps[at];
    const last = at === lesson.steps.length - 1;
    const head = make("div", "gd-lesson-head", {},
      make("h1", "", {}, lesson.title),
      make("p", "gd-muted", {}, `A lesson of about ${lesson.minutes} minutes`),
    );
    const progress = make("progress", "gd-progress", { max: lesson.steps.length, value: at + 1, "aria-label": "Progress of the lesson" });
    const count = make("span", "gd-lesson-count", { role: "status" }, `${at + 1} of ${lesson.steps.length}`);
    const back = button("Back", "", () => go(at - 1));
    const on = button("Next", "gd-primary", () => go(at + 1));
    back.disabled = at === 0;
    if (step.question && !revealed.has(key())) on.classList.remove("gd-primary");
    const way = make("div", "gd-lesson-way", { role: "group", "aria-label": "Steps" }, back, ...(last ? [] : [on]), count);
    const title = make("h2", "", { tabindex: "-1" }, step.title);
    const text = words("div", "gd-lesson-text", step.text);
    const body = [title, text];
    if (step.question) body.push(question(step));
    if (last && tally()) body.push(make("p", "gd-tally", {}, tally()));
    const out = make("div", "gd-lesson-out", {},
      button("All controls", "gd-quiet", () => ask("leave")),
      button("Other lessons", "gd-quiet", () => ask("list")),
    );
    out.firstChild.title = "leave the lesson and go on with this view: all settings, links, tables, Python lines";
    el.replaceChildren(head, progress, ...body, way, out);
  }

  // --- keyboard -----------------------------------------------------------------------------------------------------

  const keys = (event) => {
    if (!model.get("lesson").steps || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const focused = document.activeElement;
    if (!(el.contains(focused) || (inVoila && (focused === document.body || focused === null)))) return;
    if (/^(input|select|textarea)$/i.test(focused?.tagName ?? "")) return;
    const step = model.get("step");
    const choice = el.querySelectorAll(".gd-choice")[Number(event.key) - 1];
    if (event.key === "ArrowRight" || event.key === "PageDown") go(step + 1);
    else if (event.key === "ArrowLeft" || event.key === "PageUp") go(step - 1);
    else if (/^[1-9]$/.test(event.key) && choice) choice.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener("keydown", keys);

  // Begun again: what was revealed here before is so still.
  const begin = () => {
    if (model.get("lesson").steps && revealed.has(key()) && !model.get("revealed")) {
      model.set("revealed", true);
      model.save_changes();
    }
    draw();
  };
  model.on("change:lesson", begin);
  model.on("change:listed", draw);
  model.on("change:left", draw);
  model.on("change:step", draw);
  draw();
  return () => {
    clearTimeout(following);
    document.removeEventListener("keydown", keys);
  };
}

export default { render };
