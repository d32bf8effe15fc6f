// Past runs in a table: filter, sort, name, pin, delete, choose two. See gif_dash/panels/history.py.

const PAGE = 100; // rows drawn at first, and by every "show more"
const CHIPS = 5; // drawn per row; the others are in the title of one that counts them
const NAME = 80; // characters of a name, as in gif_dash/compute/store.py
const STAR = "M8,1.3l2.1,4.4 4.8,.6-3.5,3.3 .9,4.8L8,12.1 3.7,14.4l.9-4.8L1.1,6.3l4.8-.6Z";

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function star() {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" })) picture.setAttribute(key, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", STAR);
  picture.append(path);
  return picture;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

function ago(created) {
  const passed = created - Date.now() / 1000;
  for (const [unit, seconds] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(passed) >= seconds) return relative.format(Math.trunc(passed / seconds), unit);
  }
  return "just now";
}

const at = (created) => new Date(created * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** Columns one can sort by: [key, title, value of a row, whether the first click puts the largest on top]. */
const SORTED = {
  name: ["Name", (row) => row.name.toLowerCase() || "\uffff", false],
  created: ["When", (row) => row.created, true],
  experiment: ["Experiment", (row) => row.experiment, false],
  scenario: ["Scenario", (row) => row.scenario, false],
  best: ["Best scores", (row, scores) => Math.max(-Infinity, ...(scores[row.key] ?? []).map(([, score]) => score)), true],
  seconds: ["Time", (row) => row.seconds, true],
};

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  const id = `gd-history-${fresh()}`;
  el.classList.add("gd-history");
  let sort = { by: "created", down: true };
  let shown = PAGE;
  let asking = ""; // key of the run that is about to be deleted
  const made = new Map(); // key → the row's elements

  // --- the bar above -------------------------------------------------------------------------------------------------

  const words = make("input", "gd-text", { type: "search", id: `${id}-filter`, placeholder: "words of any column", autocomplete: "off", spellcheck: "false" });
  const choice = (title, key) => {
    const select = make("select", "gd-select", { "aria-label": `${title} shown` });
    select.addEventListener("change", filter);
    return { select, title, key };
  };
  const choices = [choice("experiment", "experiment"), choice("scenario", "scenario")];
  const count = make("span", "gd-muted", { role: "status" });
  const bar = make("div", "gd-history-bar", { role: "search", "aria-label": "Past runs" }, make("label", "gd-label", { for: words.id }, "Filter"), words, ...choices.map(({ select }) => select), count);
  words.addEventListener("input", filter);
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !words.value) return;
    words.value = "";
    filter();
  });

  const undoButton = make("button", "gd-button gd-quiet", { type: "button" }, "Undo");
  const undoWords = make("span");
  const undo = make("div", "gd-undo", { role: "status" }, undoWords, undoButton);
  undoButton.addEventListener("click", () => {
    model.send({ do: "undo" });
    words.focus({ preventScroll: true }); // the button goes, the keyboard's focus stays near
  });
  const error = make("p", "gd-error", { role: "alert" });

  // --- the table -----------------------------------------------------------------------------------------------------

  const body = make("tbody");
  const heads = new Map();
  const plain = (title, className = "") => make("th", className, { scope: "col" }, title);
  const head = make("tr", "", {}, plain("Compare", "gd-run-compare"), plain("Pin", "gd-run-pin"));
  const sortable = (by) => {
    const button = make("button", "", { type: "button" }, SORTED[by][0]);
    const cell = make("th", `gd-run-${by}`, { scope: "col" }, button);
    button.addEventListener("click", () => {
      sort = { by, down: sort.by === by ? !sort.down : SORTED[by][2] };
      draw();
    });
    heads.set(by, cell);
    return cell;
  };
  head.append(...["name", "created", "experiment", "scenario"].map(sortable), plain("Asked", "gd-run-asked"), ...["best", "seconds"].map(sortable));
  head.append(make("th", "gd-run-delete", { scope: "col" }, make("span", "gd-unseen", {}, "Delete")));
  const table = make("table", "gd-table", { "aria-label": "Past runs" }, make("thead", "", {}, head), body);
  const scroll = make("div", "gd-history-scroll", {}, table);
  const more = make("button", "gd-button gd-quiet gd-run-more", { type: "button" });
  more.addEventListener("click", () => {
    const next = shown;
    shown += PAGE;
    draw();
    body.rows[next]?.querySelector("button")?.focus({ preventScroll: true });
  });
  const nothing = make("div", "gd-no-runs");
  el.append(bar, undo, error, scroll, more, nothing);

  function filter() {
    shown = PAGE;
    scroll.scrollTop = 0;
    draw();
  }

  function choose(which, key) {
    const chosen = { a: model.get("a"), b: model.get("b") };
    const other = which === "a" ? "b" : "a";
    if (chosen[which] === key) chosen[which] = "";
    else {
      if (chosen[other] === key) chosen[other] = chosen[which];
      chosen[which] = key;
    }
    if (!chosen.a) [chosen.a, chosen.b] = [chosen.b, ""]; // who stands alone is A
    model.set(chosen);
    model.save_changes();
  }

  function makeRow(key) {
    let row;
    const control = (name, text, click) => {
      const button = make("button", "", { type: "button", "data-control": name }, text);
      button.addEventListener("click", click);
      return button;
    };
    const [a, b] = ["a", "b"].map((which) => control(which, which.toUpperCase(), () => choose(which, key)));
    const pin = control("pin", star(), () => model.send({ do: "pin", key, pinned: !row.pinned }));
    pin.className = "gd-run-star";
    const name = make("input", "gd-naming", { type: "text", maxlength: NAME, placeholder: "name it", autocomplete: "off", spellcheck: "false", "data-control": "name" });
    const commit = () => {
      if (row && name.value.trim() !== row.name) model.send({ do: "rename", key, name: name.value });
    };
    name.addEventListener("change", commit);
    name.addEventListener("keydown", (event) => {
      if (event.key === "Enter") name.blur();
      if (event.key === "Escape") {
        name.value = row.name;
        name.blur();
      }
      event.stopPropagation();
      if (event.key === "ArrowUp" || event.key === "ArrowDown") step(event, element);
    });
    const time = make("time");
    const older = make("span", "gd-asked-chip gd-older", { title: "Computed by an earlier version of the code; asked again, it is computed anew" }, "older code");
    const recorded = make("span", "gd-asked-chip gd-older", { title: "Comes with gif_dash: computed elsewhere, explored here" }, "recorded");
    const [experiment, scenario, asked, best, seconds] = ["experiment", "scenario", "asked", "best", "seconds"].map((each) => make("td", `gd-run-${each}`));
    const bin = control("delete", "Delete", () => ask(key));
    bin.className = "gd-run-bin";
    const yes = control("yes", "Yes", () => {
      asking = "";
      model.send({ do: "delete", key });
      draw();
    });
    const no = control("no", "No", () => ask(""));
    const sure = make("span", "gd-run-sure", { role: "group" }, make("span", "", {}, "Delete?"), yes, no);
    sure.addEventListener("keydown", (event) => {
      if (event.key === "Escape") ask("");
    });
    for (const button of [yes, no]) button.className = "gd-button gd-quiet";
    const element = make("tr", "", { "data-key": key },
      make("td", "gd-run-compare", {}, a, b), make("td", "gd-run-pin", {}, pin), make("th", "gd-run-name", { scope: "row" }, name),
      make("td", "gd-run-created", {}, time, older, recorded), experiment, scenario, asked, best, seconds, make("td", "gd-run-delete", {}, bin, sure));
    element.addEventListener("keydown", (event) => step(event, element));
    element.addEventListener("click", (event) => {
      if (!event.target.closest("button, input, .gd-run-sure") && model.get("a") !== key && model.get("b") !== key) choose("a", key);
    });

    const update = (next, scores) => {
      const chosen = { a: model.get("a") === key, b: model.get("b") === key };
      a.setAttribute("aria-pressed", String(chosen.a));
      b.setAttribute("aria-pressed", String(chosen.b));
      element.classList.toggle("gd-run-chosen", chosen.a || chosen.b);
      bin.hidden = asking === key;
      sure.hidden = asking !== key;
      time.textContent = ago(next.created);
      best.replaceChildren(...bestScores(scores));
      if (next === row) return;
      row = next;
      older.hidden = !row.old;
      recorded.hidden = !row.recorded;
      for (const control of [pin, bin, name]) control.style.visibility = row.recorded ? "hidden" : ""; // nobody's to change
      a.setAttribute("aria-label", `A: ${row.label}`);
      b.setAttribute("aria-label", `B: ${row.label}`);
      pin.setAttribute("aria-label", `Pin ${row.label}`);
      pin.setAttribute("aria-pressed", String(row.pinned));
      pin.title = row.pinned ? "let it go" : "keep it on top";
      name.setAttribute("aria-label", `Name of ${row.label}`);
      if (document.activeElement !== name) name.value = row.name;
      name.title = row.name;
      bin.setAttribute("aria-label", `Delete ${row.label}`);
      sure.setAttribute("aria-label", `Delete ${row.label}?`);
      time.dateTime = new Date(row.created * 1000).toISOString();
      time.title = at(row.created);
      experiment.textContent = row.experiment;
      scenario.textContent = row.scenario;
      const what = make("span", "gd-run-what", {}, [row.experiment, row.scenario].filter(Boolean).join(", ")); // where there is no room
      asked.replaceChildren(what, ...chips(row.chips));
      if (!row.chips.length) asked.append(make("span", "gd-muted", {}, "the defaults"));
      seconds.textContent = row.took;
    };
    return { element, update, revert: () => (name.value = row.name), sure, bin };
  }

  function chips(list) {
    const cut = list.length > CHIPS + 1 ? CHIPS : list.length;
    const drawn = list.slice(0, cut).map(([text, note]) => make("span", "gd-asked-chip", { title: note }, text));
    const rest = list.slice(cut);
    if (rest.length) drawn.push(make("span", "gd-asked-chip", { title: rest.map(([, note]) => note).join("\n") }, `+ ${rest.length}`));
    return drawn;
  }

  function bestScores(scores) {
    if (scores === undefined) return ["…"];
    if (!scores.length) return ["–"];
    const most = Math.max(...scores.map(([, score]) => score));
    return scores.map(([method, score, swatch]) => {
      const told = score.toFixed(3).replace("-", "−");
      const item = make("span", score === most ? "gd-run-most" : "");
      item.insertAdjacentHTML("afterbegin", swatch); // drawn by figures/theme.py
      item.append(make("span", "gd-unseen", {}, `${method} `), told);
      item.title = `${method}: ${told}`;
      return item;
    });
  }

  /** Up and down move between the rows, within the column. */
  function step(event, element) {
    const name = event.target.dataset?.control;
    const next = { ArrowDown: element.nextElementSibling, ArrowUp: element.previousElementSibling }[event.key];
    if (!name || !next) return;
    event.preventDefault();
    next.querySelector(`[data-control="${name}"]:not([hidden] *)`)?.focus();
  }

  function ask(key) {
    const before = asking;
    asking = key;
    draw();
    const row = made.get(key || before);
    (key ? row?.sure.querySelector("button") : row?.bin)?.focus({ preventScroll: true });
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  function text(row, scores) {
    const chips = row.chips.flat();
    return [row.name, row.experiment, row.scenario, ...chips, at(row.created), row.old ? "older code" : "", row.recorded ? "recorded" : "", row.pinned ? "pinned" : "", ...(scores ?? []).map(([method]) => method)].join(" ").toLowerCase();
  }

  function offer({ select, title, key }, rows) {
    const values = [...new Set(rows.map((row) => row[key]).filter(Boolean))].sort();
    const before = select.value;
    const known = [...select.options].slice(1).map((option) => option.value);
    if (select.options.length && known.join("\n") === values.join("\n")) return;
    select.replaceChildren(make("option", "", { value: "" }, `every ${title}`), ...values.map((value) => make("option", "", { value }, value)));
    select.value = values.includes(before) ? before : "";
    select.hidden = values.length < 2;
  }

  function draw() {
    const rows = model.get("rows");
    const scores = model.get("scores");
    for (const each of choices) offer(each, rows);
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      if (choices.some(({ select, key }) => select.value && row[key] !== select.value)) return false;
      const all = wanted.length ? text(row, scores[row.key]) : "";
      return wanted.every((word) => all.includes(word));
    });
    const value = SORTED[sort.by][1];
    const way = sort.down ? -1 : 1;
    const order = (one, other) => (one < other ? -way : one > other ? way : 0);
    const shipped = (row) => Number(sort.by === "created" && row.recorded === true); // after one's own
    found.sort((one, other) => other.pinned - one.pinned || shipped(one) - shipped(other) || order(value(one, scores), value(other, scores)) || other.created - one.created);
    for (const [by, cell] of heads) {
      if (by === sort.by) cell.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }

    const known = new Set(rows.map((row) => row.key));
    for (const key of made.keys()) if (!known.has(key)) made.delete(key);
    const visible = found.slice(0, shown).map((row) => {
      if (!made.has(row.key)) made.set(row.key, makeRow(row.key));
      const item = made.get(row.key);
      item.update(row, scores[row.key]);
      return item.element;
    });
    arrange(visible);

    const empty = model.get("ready") && !rows.length;
    bar.hidden = scroll.hidden = !rows.length;
    const told = `${rows.length} run${rows.length === 1 ? "" : "s"}`;
    const counted = found.length === rows.length ? told : `${found.length} of ${told}`;
    if (count.textContent !== counted) count.textContent = counted;
    more.hidden = found.length <= shown;
    more.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
    explain(empty, rows.length > 0 && !found.length);
  }

  /** Put rows in order; whoever has the focus keeps it. */
  function arrange(visible) {
    if (visible.length === body.rows.length && visible.every((element, place) => body.rows[place] === element)) return;
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    const selection = focused?.matches("input") ? [focused.value, focused.selectionStart, focused.selectionEnd] : null;
    body.replaceChildren(...visible);
    if (!focused?.isConnected) return;
    focused.focus({ preventScroll: true });
    if (selection) {
      focused.value = selection[0];
      focused.setSelectionRange(selection[1], selection[2]);
    }
  }

  function explain(empty, none) {
    nothing.hidden = !empty && !none;
    const state = empty ? "empty" : none ? "none" : "";
    if (nothing.dataset.state === state) return;
    nothing.dataset.state = state;
    const button = make("button", "gd-button", { type: "button" });
    if (empty) {
      button.textContent = "Go to Class removal";
      button.addEventListener("click", () => model.send({ do: "start" }));
      nothing.replaceChildren(make("h2", "", {}, "Nothing has been computed yet"),
        make("p", "", {}, "Every run is kept here with its numbers: press Run in Class removal, then come back to name it, and to lay two runs over each other."), button);
    } else if (none) {
      button.textContent = "Show all runs";
      button.addEventListener("click", () => {
        words.value = "";
        for (const { select } of choices) select.value = "";
        filter();
        words.focus();
      });
      nothing.replaceChildren(make("p", "", {}, "No run has all of these words."), button);
    }
  }

  const say = () => {
    const label = model.get("deleted");
    const appeared = undo.hidden && label;
    undo.hidden = !label;
    undoWords.textContent = label ? `“${label}” was deleted.` : "";
    if (appeared) undoButton.focus({ preventScroll: true });
    const wrong = model.get("error");
    if (error.textContent !== wrong) error.textContent = wrong;
    error.hidden = !wrong;
    if (wrong) for (const { revert } of made.values()) revert(); // what could not be kept is not shown
  };
  undo.hidden = true;

  model.on("change:rows change:scores change:a change:b change:ready", draw);
  model.on("change:deleted change:error", say);
  const clock = setInterval(draw, 30_000);
  draw();
  say();
  return () => clearInterval(clock);
}

export default { render };
