// The data of the toy: points that can be dragged, and taken out of or put into the group that leaves, by pointer or
// keyboard. It draws and asks; what a change means is the business of plane.js.

const EDGE = { left: 46, right: 14, top: 10, bottom: 38 };
const KEPT = "M2.6,0A2.6,2.6,0,1,1,-2.6,0A2.6,2.6,0,1,1,2.6,0Z";
const LEAVES = "M-3.4,-3.4L3.4,3.4M-3.4,3.4L3.4,-3.4";
const TARGET = 5; // column of the target; the features are 0 to 4
const DIGITS = 4;

const rounded = (value) => Number(value.toPrecision(DIGITS));

/** Whether a point lies in a closed line. */
function encloses(line, x, y) {
  let inside = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [line[i], line[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/**
 * host: the figure. hooks: points() and columns() of the picture; edits() the changes by hand; change(edits, words,
 * last) makes others and says whether that can be; undo(); lift(whether a point or a lasso is held); say(words);
 * lines() of the models at the step; gone() how many of those that leave have left; feature() and choose(feature).
 */
function pointsView(host, id, hooks) {
  const choice = make("select", "gd-feature", { id: `${id}-feature` }, ...[1, 2, 3, 4, 5].map((n) => make("option", "", { value: n - 1 }, `feature ${n}`)));
  const lasso = make("button", "gd-button gd-quiet", { type: "button", "aria-pressed": "false", title: "Draw around points; with a mouse, start beside a point" }, "Lasso");
  const undo = make("button", "gd-button gd-quiet", { type: "button", title: "Undo the last change by hand (Escape)" }, "Undo");
  const clear = make("button", "gd-button gd-quiet", { type: "button", "aria-label": "Clear changes", title: "Clear all changes by hand" }, "Clear");
  const title = make("span", "", {}, make("label", "", { for: `${id}-feature` }, "The data: target and "), choice);
  const root = svg("svg", "gd-points", { role: "group" });
  const thinned = make("p", "gd-help gd-points-thinned", { id: `${id}-thinned` });
  const hint = make("p", "gd-help gd-points-hint", { id: `${id}-hint` });
  const said = make("output", "gd-points-said", { "aria-live": "polite" });
  host.replaceChildren(make("figcaption", "", {}, title, make("span", "gd-tools", {}, lasso, undo, clear)), root, said, thinned, hint);
  root.setAttribute("aria-describedby", `${id}-thinned ${id}-hint`);

  let place = null; // {px, py, x, y, width, height, right, bottom} of the drawing
  let drawn = new Map();
  let models = [];
  let current = -1; // the point in the order of the Tab key
  let held = null; // what the pointer holds: {index} of a point, or {line} of a lasso
  let ring = null;

  const feature = () => hooks.feature();
  const valueOf = (index, column) => hooks.edits().get(index)?.moved[column] ?? hooks.columns()[column * hooks.points().settings.count + index];
  const leaves = (index) => hooks.edits().get(index)?.removed ?? index < hooks.points().settings.outliers;
  const at = (index) => [valueOf(index, feature()), valueOf(index, TARGET)];
  const words = (index) => {
    const [x, y] = at(index);
    return `Point ${index}: feature ${feature() + 1} ${number(x)}, target ${number(y)}, ${leaves(index) ? "leaves" : "stays"}`;
  };

  function build() {
    const { shown, windows, editable } = hooks.points();
    const width = host.clientWidth;
    const height = clamp(Math.round(width * 0.88), 260, 490) - (width < 420 ? 0 : 44);
    const [right, bottom] = [width - EDGE.right, height - EDGE.bottom];
    const [[x0, x1], [y0, y1]] = [windows[feature()], windows[TARGET]];
    const px = (x) => EDGE.left + ((right - EDGE.left) * (x - x0)) / (x1 - x0);
    const py = (y) => bottom - ((bottom - EDGE.top) * (y - y0)) / (y1 - y0);
    const back = (mx, my) => [x0 + ((mx - EDGE.left) * (x1 - x0)) / (right - EDGE.left), y0 + ((bottom - my) * (y1 - y0)) / (bottom - EDGE.top)];
    place = { px, py, back, width, height, spans: [x1 - x0, y1 - y0], windows: [windows[feature()], windows[TARGET]] };
    const focused = document.activeElement?.closest?.(".gd-point") && root.contains(document.activeElement) ? current : -1;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) root.setAttribute(name, value);
    root.setAttribute("aria-label", `Points: target against feature ${feature() + 1}`);
    choice.value = feature();
    const clip = svg("clipPath", "", { id: `${id}-clip` }, svg("rect", "", { x: EDGE.left, y: EDGE.top, width: right - EDGE.left, height: bottom - EDGE.top }));
    const field = svg("g", "", { "clip-path": `url(#${id}-clip)` });
    root.replaceChildren(clip, svg("rect", "gd-ground", { x: EDGE.left, y: EDGE.top, width: right - EDGE.left, height: bottom - EDGE.top }));
    for (const x of ticks(x0, x1, (right - EDGE.left) / 80)) {
      root.append(svg("line", "gd-axis", { x1: px(x), x2: px(x), y1: bottom, y2: bottom + 4 }));
      root.append(svg("text", "", { x: px(x), y: bottom + 16, "text-anchor": "middle" }, tickText(x)));
    }
    for (const y of ticks(y0, y1, (bottom - EDGE.top) / 70)) {
      root.append(svg("line", "gd-axis", { x1: EDGE.left - 4, x2: EDGE.left, y1: py(y), y2: py(y) }));
      root.append(svg("text", "", { x: EDGE.left - 7, y: py(y) + 4, "text-anchor": "end" }, tickText(y)));
    }
    root.append(svg("text", "gd-title", { x: (EDGE.left + right) / 2, y: height - 4, "text-anchor": "middle" }, `feature ${feature() + 1}`));
    root.append(svg("text", "gd-title", { transform: `translate(12,${(EDGE.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, "target"));
    root.append(field);
    models = hooks.lines(feature()).map(({ key, style }) => {
      const line = svg("line", "gd-fit");
      line.dataset.fit = key;
      line.style.cssText = `stroke:${css(style)};stroke-width:${style.width}`;
      line.setAttribute("stroke-dasharray", hooks.dash(style));
      field.append(line);
      return line;
    });
    drawn = new Map();
    for (const index of shown) {
      const mark = svg("path", "gd-point-mark");
      const point = svg("g", "gd-point", { role: "button", tabindex: "-1" }, svg("circle", "gd-hit", { r: 9 }), mark);
      point.dataset.index = index;
      root.append(point);
      drawn.set(index, { point, mark, text: "" });
    }
    ring = svg("path", "gd-lasso");
    root.append(ring);
    if (!drawn.has(current)) current = shown[0] ?? -1;
    drawn.get(current)?.point.setAttribute("tabindex", "0");
    if (focused >= 0) drawn.get(current)?.point.focus({ preventScroll: true });
    host.classList.toggle("gd-fixed", !editable);
    lasso.hidden = !editable;
    thinned.textContent = hooks.points().thinned;
    thinned.hidden = !thinned.textContent;
    hint.textContent = editable
      ? "Drag a point; click it, or draw around many, to have it leave (✕) or stay (●). Keys: arrows move the point in focus, Space or Delete has it leave or stay, Page Up and Down go to the next, Escape undoes."
      : "As published: these points stay as they are.";
    refresh();
  }

  /** Where the points are and what becomes of them; called for every change. */
  function refresh() {
    if (!place) return;
    for (const [index, each] of drawn) {
      const [x, y] = at(index);
      const out = leaves(index);
      const text = `translate(${place.px(x).toFixed(1)},${place.py(y).toFixed(1)})${out}${hooks.edits().has(index)}`;
      if (text === each.text) continue;
      each.text = text;
      each.point.setAttribute("transform", text.slice(0, text.indexOf(")") + 1));
      each.mark.setAttribute("d", out ? LEAVES : KEPT);
      each.point.classList.toggle("gd-leaves", out);
      each.point.classList.toggle("gd-changed", hooks.edits().has(index));
      each.point.setAttribute("aria-pressed", String(out));
      each.point.setAttribute("aria-label", words(index));
    }
    // Their places are kept: nothing moves under the pointer when the first change is made.
    undo.style.visibility = hooks.canUndo() ? "" : "hidden";
    clear.style.visibility = hooks.edits().size && hooks.points().editable ? "" : "hidden";
    move(true);
  }

  /** The lines of the models, and who has left, at the step. */
  let left = -1;
  function move(all = false) {
    if (!place) return;
    const [x0, x1] = place.windows[0];
    hooks.lines(feature()).forEach(({ slope, height }, i) => {
      const ends = { x1: place.px(x0), x2: place.px(x1), y1: place.py(height + slope * x0), y2: place.py(height + slope * x1) };
      for (const [name, value] of Object.entries(ends)) models[i]?.setAttribute(name, value.toFixed(1));
    });
    const { count, ranks } = hooks.gone();
    if (count === left && !all) return;
    left = count;
    for (const [index, { point }] of drawn) point.classList.toggle("gd-gone", ranks.has(index) && ranks.get(index) < count);
  }

  // --- changes -----------------------------------------------------------------------------------------------------

  const changed = (index, change) => {
    const next = new Map(hooks.edits());
    const before = next.get(index) ?? { moved: {}, removed: null };
    const after = { moved: { ...before.moved, ...change.moved }, removed: change.removed ?? before.removed };
    if (after.removed === index < hooks.points().settings.outliers) after.removed = null;
    if (Object.keys(after.moved).length || after.removed !== null) next.set(index, after);
    else next.delete(index);
    return next;
  };
  const movedTo = (index, x, y) => {
    const inside = [x, y].map((value, i) => rounded(clamp(value, ...place.windows[i])));
    return changed(index, { moved: { [feature()]: inside[0], [TARGET]: inside[1] } });
  };
  const toggle = (index) => {
    const out = !leaves(index);
    hooks.change(changed(index, { removed: out }), () => `${words(index)}.`, true);
  };
  const many = (line) => {
    const inside = [...drawn.keys()].filter((index) => {
      const [x, y] = at(index);
      return encloses(line, place.px(x), place.py(y));
    });
    if (!inside.length) return hooks.say("No point in the lasso.");
    const out = inside.some((index) => !leaves(index));
    let next = new Map(hooks.edits());
    for (const index of inside) {
      const before = next.get(index) ?? { moved: {}, removed: null };
      const removed = out === index < hooks.points().settings.outliers ? null : out;
      if (removed === null && !Object.keys(before.moved).length) next.delete(index);
      else next.set(index, { ...before, removed });
    }
    hooks.change(next, () => `${inside.length} points ${out ? "leave" : "stay"}`, true);
  };
  const focus = (index) => {
    drawn.get(current)?.point.setAttribute("tabindex", "-1");
    current = index;
    const { point } = drawn.get(index);
    point.setAttribute("tabindex", "0");
    point.focus({ preventScroll: true });
  };

  const mouse = (event) => {
    const box = root.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * place.width, ((event.clientY - box.top) / box.height) * place.height];
  };
  const nearest = ([mx, my], within) => {
    let best = { distance: within, index: -1 };
    for (const index of drawn.keys()) {
      const [x, y] = at(index);
      const distance = Math.hypot(place.px(x) - mx, place.py(y) - my);
      if (distance < best.distance) best = { distance, index };
    }
    return best.index;
  };
  const release = () => {
    held = null;
    ring.removeAttribute("d");
    root.classList.remove("gd-holding");
    hooks.lift(false);
  };
  root.addEventListener("pointerdown", (event) => {
    if (event.button || held || !hooks.points().editable) return;
    const [mx, my] = mouse(event);
    const drawing = lasso.getAttribute("aria-pressed") === "true";
    const index = drawing ? -1 : nearest([mx, my], event.pointerType === "mouse" ? 11 : 22);
    if (index < 0 && !drawing && event.pointerType !== "mouse") return; // a finger beside the points scrolls the page
    event.preventDefault();
    root.setPointerCapture(event.pointerId);
    if (index >= 0) {
      focus(index);
      const [x, y] = at(index);
      held = { index, from: [mx, my], off: [place.px(x) - mx, place.py(y) - my], moved: false };
    } else held = { line: [[mx, my]] };
    hooks.lift(true);
  });
  root.addEventListener("pointermove", (event) => {
    if (!held) return;
    const here = mouse(event);
    if (held.line) {
      held.line.push(here);
      ring.setAttribute("d", `M${held.line.map((each) => each.map((value) => value.toFixed(1)).join(",")).join("L")}Z`);
      return;
    }
    if (!held.moved && Math.hypot(here[0] - held.from[0], here[1] - held.from[1]) < 4) return;
    root.classList.add("gd-holding");
    const next = movedTo(held.index, ...place.back(here[0] + held.off[0], here[1] + held.off[1]));
    hooks.change(next, null, false, !held.moved);
    held.moved = true;
  });
  root.addEventListener("pointerup", (event) => {
    if (!held) return;
    const { index, line, moved } = held;
    release();
    if (line) {
      if (line.length > 3) many(line);
    } else if (moved) hooks.change(hooks.edits(), () => `${words(index)}.`, true, false);
    else toggle(index);
    event.preventDefault();
  });
  const drop = () => {
    if (!held) return false;
    const { moved } = held;
    release();
    if (moved) hooks.undo();
    return true;
  };
  root.addEventListener("pointercancel", drop);
  // A finger that holds a point or draws must not scroll: pointer events come first, and know what is held.
  for (const kind of ["touchstart", "touchmove"]) {
    root.addEventListener(kind, (event) => held && event.cancelable && event.preventDefault(), { passive: false });
  }

  let step = { index: -1, time: 0 };
  root.addEventListener("keydown", (event) => {
    const index = Number(event.target.closest?.(".gd-point")?.dataset.index ?? -1);
    if (index < 0) return;
    const [sideways, upwards] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    const go = { PageDown: 1, PageUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (go) {
      const sorted = [...drawn.keys()].sort((a, b) => at(a)[0] - at(b)[0]);
      focus(sorted[clamp(sorted.indexOf(index) + go, 0, sorted.length - 1)]);
    } else if (!hooks.points().editable) return;
    else if (sideways || upwards) {
      const share = event.shiftKey ? 0.1 : 0.02;
      const [x, y] = at(index);
      const fresh = step.index !== index || event.timeStamp - step.time > 1000; // a run of key presses is undone as one
      step = { index, time: event.timeStamp };
      const next = movedTo(index, x + sideways * share * place.spans[0], y + upwards * share * place.spans[1]);
      hooks.change(next, () => `${words(index)}.`, true, fresh);
    } else if ([" ", "Delete", "Backspace", "Enter"].includes(event.key)) {
      step.index = -1;
      toggle(index);
    } else return;
    event.preventDefault();
  });
  host.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    step.index = -1;
    if (!drop()) hooks.undo();
  });
  lasso.addEventListener("click", () => {
    const on = lasso.getAttribute("aria-pressed") !== "true";
    lasso.setAttribute("aria-pressed", String(on));
    root.classList.toggle("gd-drawing", on);
  });
  undo.addEventListener("click", () => hooks.undo());
  clear.addEventListener("click", () => hooks.change(new Map(), () => "All changes by hand are gone.", true));
  choice.addEventListener("change", () => hooks.choose(Number(choice.value)));

  return { build, refresh, move: () => move(), say: (words) => (said.textContent = words) };
}
