// A line, points to drag, and what each does to the loss at the test point. See gif_dash/panels/line.py.
// The closed forms are those of gif_dash/line.py, repeated here so that nobody is asked while something moves; Python
// is told where things are, and makes the table and the words from its own numbers.

const SVG = "http://www.w3.org/2000/svg";
const SPACE = { left: 44, right: 12, top: 10, bottom: 36 };
const BASE = [-6, 6, -40, 115]; // what the plot shows at least
const STEP = { x: 0.1, y: 1 }; // of the arrow keys; with Shift ten times as much
const GRAIN = { x: 0.01, y: 0.1 }; // to which a pointer's position is rounded
const REACH = 14; // pixels around a point where it can be caught
const TELL = 150; // milliseconds between two reports to Python
const SETTLE = 600; // milliseconds after the last key until axes and order may change
const UNDOS = 50;

const SHAPES = {
  helpful: (r) => `M${r},0A${r},${r},0,1,1,${-r},0A${r},${r},0,1,1,${r},0Z`,
  harmful: (r) => `M${-0.89 * r},${-0.89 * r}H${0.89 * r}V${0.89 * r}H${-0.89 * r}Z`,
};
const TEST = "M0,-10L10,0L0,10L-10,0ZM-5,0H5M0,-5V5";

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function svg(tag, className = "", attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  if (className) element.setAttribute("class", className);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const round = (value, grain) => Number((Math.round(value / grain) * grain).toFixed(4)) + 0;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const at = (theta, x) => theta[0] * x + theta[1];

/** Three significant digits, as people write them. */
function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Math.abs(value) < 1e-9) return "0";
  if (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) return value.toExponential(1).replace(/-/g, "−");
  return value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))))).replace("-", "−");
}

const plain = (value) => String(Number(value.toFixed(4))).replace("-", "−");

/** Round numbers from low to high, about as many as asked for. */
function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place++) found.push(Number((place * step).toPrecision(12)));
  return found;
}

// --- the closed forms --------------------------------------------------------------------------------------------------

/** [[a, b], [b, c]]⁻¹ as [a, b, c]. */
function inverse([a, b, c]) {
  const determinant = a * c - b * b;
  return [c / determinant, -b / determinant, a / determinant];
}

const times = ([a, b, c], [u, v]) => [a * u + b * v, b * u + c * v];

/**
 * Fit the line, and compute every point's influence on the test point's loss, and leaving it out. See gif_dash/line.py.
 *
 * Symmetric matrices are [a, b, c]. Gives null where there is no unique line, and NaN for what a point's absence leaves
 * undetermined.
 */
export function analyse(points, test, decay, freedom = 1e-12) {
  const n = points.length;
  if (n < 2 || (decay === 0 && points.every(({ x }) => x === points[0].x))) return null;
  const sum = [0, 0, n];
  const right = [0, 0];
  for (const { x, y } of points) {
    sum[0] += x * x;
    sum[1] += x;
    right[0] += x * y;
    right[1] += y;
  }
  const damped = (share) => [sum[0] + share, sum[1], sum[2] + share];
  const theta = times(inverse(damped((n * decay) / 2)), right);
  const hessian = sum.map((value) => (2 / n) * value);
  hessian[0] += decay;
  hessian[2] += decay;
  const inverted = inverse(hessian);
  const testResidual = at(theta, test.x) - test.y;
  const testGradient = [2 * testResidual * test.x, 2 * testResidual];
  const along = times(inverted, testGradient);
  // The others are n − 1, whoever is left out; so one matrix loses one x̃x̃ᵀ.
  const others = inverse(damped(((n - 1) * decay) / 2));
  const every = times(others, right);
  return {
    n,
    theta,
    hessian,
    inverse: inverted,
    testResidual,
    testGradient,
    testLoss: testResidual ** 2,
    points: points.map(({ index, x, y }) => {
      const residual = at(theta, x) - y;
      const gradient = [2 * residual * x, 2 * residual];
      const influence = -dot(along, gradient);
      const step = times(others, [x, 1]);
      const free = 1 - dot(step, [x, 1]);
      const length = free > freedom ? (at(every, x) - y) / free : NaN;
      const without = [every[0] + step[0] * length, every[1] + step[1] * length];
      const shift = at(without, test.x) - at(theta, test.x);
      return {
        index, x, y, residual, gradient, influence, without, shift,
        leverage: (2 / n) * dot(times(inverted, [x, 1]), [x, 1]),
        predicted: -influence / n,
        firstOrder: 2 * testResidual * shift,
        square: shift ** 2,
        leftOut: (at(without, test.x) - test.y) ** 2 - testResidual ** 2,
        effect: influence < 0 ? "helpful" : influence > 0 ? "harmful" : "neither",
      };
    }),
  };
}

// --- the equation ------------------------------------------------------------------------------------------------------

const mn = (key) => `<mn data-n="${key}">–</mn>`;
const row = (...cells) => `<mtr>${cells.map((cell) => `<mtd>${cell}</mtd>`).join("")}</mtr>`;
const matrix = (...rows) => `<mtable class="gd-line-matrix">${rows.join("")}</mtable>`; // brackets: line.css
const column = (a, b) => matrix(row(a), row(b));
const grad = (of) => `<mrow><mo>∇</mo><mi>ℓ</mi><mo>(</mo>${of}<mo>)</mo></mrow>`;
const transposed = (body) => `<msup>${body}<mi mathvariant="normal">T</mi></msup>`;
const ZT = "<msub><mi>z</mi><mi>t</mi></msub>";
const ZI = `<msub><mi>z</mi>${mn("index")}</msub>`;
const HINV = "<msup><mi>H</mi><mrow><mo>−</mo><mn>1</mn></mrow></msup>";
const HAT = (name, sub) => `<msub><mover><mi>${name}</mi><mo>^</mo></mover>${sub}</msub>`;
const equals = "<mo>=</mo>";
const math = (label, body) => `<math display="inline" displaystyle="true" aria-label="${label}">${body}</math>`;
const H = matrix(row(mn("h0"), mn("h1")), row(mn("h1"), mn("h2")));
const INVERSE = matrix(row(mn("i0"), mn("i1")), row(mn("i1"), mn("i2")));

const EQUATION = [
  ["Curvature of the fit", math("Hessian", `<mi>H</mi>${equals}<mfrac><mn>2</mn>${mn("n")}</mfrac><mo>∑</mo><mover><mi>x</mi><mo>~</mo></mover>${transposed("<mover><mi>x</mi><mo>~</mo></mover>")}<mo>+</mo>${mn("decay")}<mi>I</mi>${equals}${H}`)
    + math("its inverse", `${HINV}${equals}${INVERSE}`)],
  ["Slope at the test point", math("gradient of the test loss", `${grad(ZT)}${equals}<mn>2</mn><mo>(</mo>${HAT("y", "<mi>t</mi>")}<mo>−</mo><msub><mi>y</mi><mi>t</mi></msub><mo>)</mo><msub><mover><mi>x</mi><mo>~</mo></mover><mi>t</mi></msub>${equals}<mn>2</mn><mo>·</mo>${mn("rt")}<mo>·</mo>${column(mn("xt"), "<mn>1</mn>")}${equals}${column(mn("gt0"), mn("gt1"))}`)],
  ["Slope at the chosen point", math("gradient of the point's loss", `${grad(ZI)}${equals}<mn>2</mn><mo>·</mo>${mn("r")}<mo>·</mo>${column(mn("x"), "<mn>1</mn>")}${equals}${column(mn("g0"), mn("g1"))}`)],
  ["Influence", math("influence", `<mi>I</mi>${equals}<mo>−</mo>${transposed(grad(ZT))}${HINV}${grad(ZI)}`)
    + math("with its numbers", `${equals}<mo>−</mo>${matrix(row(mn("gt0"), mn("gt1")))}${INVERSE}${column(mn("g0"), mn("g1"))}${equals}<mrow class="gd-line-answer">${mn("influence")}</mrow>`)],
  ["Predicted when it leaves", math("predicted change", `<mo>−</mo><mfrac><mi>I</mi><mi>N</mi></mfrac>${equals}<mo>−</mo><mfrac>${mn("influence")}${mn("n")}</mfrac>${equals}<mrow class="gd-line-answer">${mn("predicted")}</mrow>`)],
  ["Exact step, and leaving it out", math("exact step of the parameters", `<mi>Δ</mi>${equals}<mfrac><mn>1</mn><mrow><mi>N</mi><mo>−</mo><mn>1</mn></mrow></mfrac><msubsup><mi>H</mi><mi>R</mi><mrow><mo>−</mo><mn>1</mn></mrow></msubsup><mrow><mo>(</mo>${grad(ZI)}<mo>+</mo><mi>μ</mi><mover><mi>θ</mi><mo>^</mo></mover><mo>)</mo></mrow>${equals}${column(mn("d0"), mn("d1"))}`)
    + math("change when left out", `<mn>2</mn><msub><mi>r</mi><mi>t</mi></msub><mi>δ</mi><mo>+</mo><msup><mi>δ</mi><mn>2</mn></msup>${equals}${mn("first")}<mo>+</mo>${mn("square")}${equals}<mrow class="gd-line-answer">${mn("left")}</mrow>`)],
];

// --- the drawing -------------------------------------------------------------------------------------------------------

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  const id = `gd-line-${fresh()}`;
  el.classList.add("gd-line");
  el.setAttribute("data-lm-suppress-shortcuts", "true"); // the keys are the points', not the notebook's

  const reset = make("button", "gd-button gd-quiet", { type: "button", title: "Everything back to the tutorial's data (Escape)" }, "Reset");
  const undo = make("button", "gd-button gd-quiet", { type: "button", title: "Take the last move back (Ctrl+Z)" }, "Undo");
  const remove = make("button", "gd-button gd-quiet", { type: "button", title: "Or press Delete on a point" }, "Remove");
  const readout = make("p", "gd-line-readout");
  const bar = make("div", "gd-line-bar", { role: "group", "aria-label": "Points" }, reset, undo, remove, readout);
  const plot = make("figure", "gd-line-plot");
  const bars = make("figure", "gd-line-bars");
  const legend = make("ul", "gd-legend", { "aria-label": "Legend" });
  const help = make("p", "gd-help", { id: `${id}-help` },
    "Drag points and test point. Keys: Tab to the points, Page Up and Page Down from one to the next, arrows move it (with Shift farther), Delete takes it out or back in, Escape resets.");
  const live = make("p", "gd-line-live", { role: "status" });
  const words = make("div", "gd-words");
  const equation = make("section", "gd-line-equation", { "aria-label": "The numbers in the equation" });
  el.append(bar, make("div", "gd-line-views", {}, plot, bars), legend, help, words, equation, live);

  let picture = model.get("picture");
  let moved = new Map();
  let removed = new Set();
  let test = { x: 0, offset: 0 };
  let found = null; // of `analyse`
  let chosen = null; // index of the point that is looked at
  let hovered = null;
  let stop = null; // element that Tab reaches
  let window_ = null; // what the plot shows; held while something moves
  let scale = null; // of bars, sizes and colours; held likewise
  let order = []; // of the bars
  let ghost = null; // the fit before the last move
  let gesture = null; // what is being moved
  let undos = [];
  let telling = 0;
  let settling = 0;
  let frame = 0;
  let view = null; // elements of the plot
  let rows = null; // elements of the bars
  let width = 0;
  let numbers = new Map(); // elements of the equation by what they show

  const truth = (x) => picture.slope * x + picture.intercept;
  const place = (index) => {
    const there = moved.get(index);
    return there ? { x: there[0], y: there[1] } : { x: picture.x[index], y: picture.y[index] };
  };
  const testY = () => truth(test.x) + test.offset;
  const indices = () => picture.x.map((_, index) => index);
  const kept = () => indices().filter((index) => !removed.has(index));
  const resultOf = (index) => found?.points.find((point) => point.index === index);

  // --- state ---------------------------------------------------------------------------------------------------------

  function snapshot() {
    const texts = [...moved].sort(([a], [b]) => a - b).map(([index, [x, y]]) => `${index}:${x}:${y}`);
    return { moved: texts, removed: [...removed].sort((a, b) => a - b), test_x: test.x, test_offset: test.offset };
  }

  function take(state) {
    moved = new Map(state.moved.map((text) => {
      const [index, x, y] = text.split(":").map(Number);
      return [index, [x, y]];
    }));
    removed = new Set(state.removed);
    test = { x: state.test_x, offset: state.test_offset };
  }

  function tell() {
    clearTimeout(telling);
    telling = 0;
    model.set("state", snapshot());
    model.save_changes();
  }

  const tellSoon = () => {
    if (!telling) telling = setTimeout(tell, TELL);
  };

  function remember() {
    undos = [...undos, snapshot()].slice(-UNDOS);
    ghost = found?.theta ?? null;
  }

  function compute() {
    const points = kept().map((index) => ({ index, ...place(index) }));
    found = analyse(points, { x: test.x, y: testY() }, picture.decay, picture.freedom);
    if (found && (chosen === null || chosen >= picture.x.length)) chosen = extreme(-1)?.index ?? 0;
  }

  /** The point whose removal is predicted to change the loss most: upwards for 1, downwards for −1. */
  function extreme(sign) {
    let best = null;
    for (const point of found?.points ?? []) if (sign * point.predicted > Math.max(0, sign * (best?.predicted ?? 0))) best = point;
    return best;
  }

  // --- moving --------------------------------------------------------------------------------------------------------

  /** Put a point (or "test") somewhere; rounded, and kept within the bounds. */
  function put(what, x, y) {
    const [farX, farY] = picture.farthest;
    x = clamp(round(x, 1e-4), -farX, farX);
    y = clamp(round(y, 1e-4), -farY, farY);
    if (what === "test") test = { x, offset: round(y - truth(x), 1e-4) };
    else moved.set(what, [x, y]);
    later();
    tellSoon();
  }

  const where = (what) => (what === "test" ? { x: test.x, y: testY() } : place(what));

  function toggle(index) {
    if (!removed.has(index) && kept().length <= picture.fewest) {
      say(`At least ${picture.fewest} points must stay.`);
      return;
    }
    remember();
    if (!removed.delete(index)) removed.add(index);
    tell();
    settle();
    say(removed.has(index) ? `Point ${index} is out. ${counts()}` : `Point ${index} is back. ${counts()}`);
  }

  function counts() {
    const gone = removed.size;
    return `${kept().length} of ${picture.x.length} points are fitted${gone ? `, ${gone} ${gone === 1 ? "is" : "are"} out` : ""}.`;
  }

  function resetAll() {
    cancelGesture();
    remember();
    moved = new Map();
    removed = new Set();
    test = { x: picture.test[0], offset: picture.test[1] };
    chosen = null;
    tell();
    model.send({ do: "reset" });
    settle();
    say("Back to the tutorial's data.");
  }

  function undoLast() {
    const before = undos.pop();
    if (!before) return;
    ghost = found?.theta ?? null;
    take(before);
    tell();
    settle();
    say(`The last move is taken back. ${counts()}`);
  }

  function say(words) {
    live.textContent = words;
  }

  /** Nothing moves any more: axes, order and sizes may follow. */
  function settle() {
    clearTimeout(settling);
    settling = 0;
    compute();
    const before = window_;
    window_ = wanted();
    measure();
    if (!view || before.some((value, i) => value !== window_[i])) buildPlot();
    buildBars();
    draw();
    nameAll();
  }

  function wanted() {
    const places = [...indices().map(place), where("test")];
    const xs = places.map(({ x }) => x);
    const ys = places.map(({ y }) => y);
    return [
      Math.min(BASE[0], Math.min(...xs) - 0.6), Math.max(BASE[1], Math.max(...xs) + 0.6),
      Math.min(BASE[2], Math.min(...ys) - 9), Math.max(BASE[3], Math.max(...ys) + 9),
    ];
  }

  function measure() {
    const values = (found?.points ?? []).flatMap((point) => [point.predicted, point.leftOut]).filter(Number.isFinite);
    let low = Math.min(0, ...values);
    let high = Math.max(0, ...values);
    if (high - low < 1e-9) [low, high] = [-1, 1];
    const pad = 0.04 * (high - low);
    scale = { low: low - pad, high: high + pad, largest: Math.max(1e-12, ...(found?.points ?? []).map((point) => Math.abs(point.predicted))) };
    order = [...(found?.points ?? [])].sort((a, b) => a.predicted - b.predicted).map((point) => point.index);
  }

  function startDrag(what, event) {
    if (event.button || gesture) return;
    event.preventDefault();
    if (settling) settle();
    remember();
    const from = where(what);
    const [x, y] = view.toData(event);
    gesture = { what, pointer: event.pointerId, dx: from.x - x, dy: from.y - y, moved: false };
    if (what !== "test") chosen = what;
    view.root.setPointerCapture(event.pointerId);
    view.root.classList.add("gd-dragging");
    elementOf(what).focus({ preventScroll: true });
    later();
  }

  function drag(event) {
    if (!gesture || event.pointerId !== gesture.pointer) return;
    const [x, y] = view.toData(event);
    gesture.moved = true;
    const [x0, x1, y0, y1] = window_; // axes are held: what is dragged stays in sight
    put(gesture.what, round(clamp(x + gesture.dx, x0, x1), GRAIN.x), round(clamp(y + gesture.dy, y0, y1), GRAIN.y));
  }

  function endDrag(event) {
    if (!gesture || event.pointerId !== gesture.pointer) return;
    const { what, moved: really } = gesture;
    gesture = null;
    view.root.classList.remove("gd-dragging");
    if (!really) {
      undos.pop();
      later();
      return;
    }
    tell();
    settle();
    say(describe(what));
  }

  function cancelGesture() {
    if (!gesture) return false;
    view.root.classList.remove("gd-dragging");
    gesture = null;
    const before = undos.pop();
    if (before) take(before);
    tell();
    settle();
    return true;
  }

  function key(what, event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const neighbours = [...indices().sort((a, b) => place(a).x - place(b).x || a - b), "test"];
    const to = { PageDown: neighbours.indexOf(what) + 1, PageUp: neighbours.indexOf(what) - 1, Home: 0, End: neighbours.length - 1 }[event.key];
    if (arrow && !event.altKey && !event.ctrlKey && !event.metaKey) {
      if (!settling) remember();
      const factor = event.shiftKey ? 10 : 1;
      const from = where(what);
      put(what, from.x + arrow[0] * STEP.x * factor, from.y + arrow[1] * STEP.y * factor);
      clearTimeout(settling);
      settling = setTimeout(() => {
        settle();
        say(describe(what));
      }, SETTLE);
    } else if (to !== undefined) {
      elementOf(neighbours[(to + neighbours.length) % neighbours.length]).focus();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      if (what === "test") say("The test point stays.");
      else toggle(what);
    } else if (event.key === "Escape") {
      if (!cancelGesture()) resetAll();
    } else if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      undoLast();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // --- words ---------------------------------------------------------------------------------------------------------

  function describe(what) {
    const { x, y } = where(what);
    if (what === "test") return `Test point: x ${plain(x)}, y ${plain(y)}; its loss is ${number(found?.testLoss)}.`;
    const start = `Point ${what}: x ${plain(x)}, y ${plain(y)}`;
    if (removed.has(what)) return `${start}, out of the fit.`;
    const result = resultOf(what);
    if (!result) return `${start}; there is no unique line.`;
    return `${start}; influence ${number(result.influence)}, ${result.effect}; removing it: predicted ${number(result.predicted)}, left out ${number(result.leftOut)}.`;
  }

  const elementOf = (what) => (what === "test" ? view.test : view.points[what].group);

  function nameAll() {
    for (const index of indices()) view.points[index].group.setAttribute("aria-label", describe(index));
    view.test.setAttribute("aria-label", describe("test"));
  }

  // --- the plot ------------------------------------------------------------------------------------------------------

  function buildPlot() {
    const focused = view && stop && document.activeElement === stop ? stop.dataset.what : null;
    const wide = plot.clientWidth;
    const high = clamp(Math.round(wide * 0.74), 300, 470);
    const [x0, x1, y0, y1] = window_;
    const right = wide - SPACE.right;
    const bottom = high - SPACE.bottom;
    const px = (x) => SPACE.left + ((right - SPACE.left) * (x - x0)) / (x1 - x0);
    const py = (y) => bottom - ((bottom - SPACE.top) * (y - y0)) / (y1 - y0);
    const root = svg("svg", "", { width: wide, height: high, viewBox: `0 0 ${wide} ${high}`, role: "group" });
    root.setAttribute("aria-label", "Points of the fit and the test point; the numbers are in the table below");
    for (const x of ticks(x0, x1, (right - SPACE.left) / 70)) {
      root.append(svg("line", "gd-gridline", { x1: px(x), x2: px(x), y1: SPACE.top, y2: bottom }));
      root.append(svg("text", "", { x: px(x), y: bottom + 16, "text-anchor": "middle" }, plain(x)));
    }
    for (const y of ticks(y0, y1, (bottom - SPACE.top) / 60)) {
      root.append(svg("line", "gd-gridline", { x1: SPACE.left, x2: right, y1: py(y), y2: py(y) }));
      root.append(svg("text", "", { x: SPACE.left - 7, y: py(y) + 4, "text-anchor": "end" }, plain(y)));
    }
    root.append(svg("path", "gd-axis", { d: `M${SPACE.left},${SPACE.top}V${bottom}H${right}` }));
    root.append(svg("text", "gd-title", { x: right, y: bottom + 32, "text-anchor": "end" }, "x"));
    root.append(svg("text", "gd-title", { x: SPACE.left - 8, y: SPACE.top + 4, "text-anchor": "end" }, "y"));
    const clip = svg("clipPath", "", { id: `${id}-clip` }, svg("rect", "", { x: SPACE.left, y: SPACE.top, width: right - SPACE.left, height: bottom - SPACE.top }));
    const field = svg("g", "", { "clip-path": `url(#${id}-clip)` });
    root.append(clip, field);
    const stroke = (name) => {
      const drawn = svg("path", `gd-line-${name}`);
      field.append(drawn);
      return drawn;
    };
    const drawn = Object.fromEntries(["truth", "ghost", "without", "fit", "stems", "test-stem"].map((name) => [name, stroke(name)]));
    const line = (theta) => `M${px(x0).toFixed(1)},${py(at(theta, x0)).toFixed(1)}L${px(x1).toFixed(1)},${py(at(theta, x1)).toFixed(1)}`;
    drawn.truth.setAttribute("d", line([picture.slope, picture.intercept]));

    const handle = (what, className, ...parts) => {
      const group = svg("g", className, { role: "button", tabindex: -1, "aria-describedby": `${id}-help` }, svg("circle", "gd-line-reach", { r: REACH }), ...parts);
      group.dataset.what = what;
      const index = what === "test" ? null : what;
      group.addEventListener("pointerdown", (event) => startDrag(what, event));
      group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
      group.addEventListener("pointerenter", () => hover(index));
      group.addEventListener("pointerleave", () => hover(null));
      group.addEventListener("keydown", (event) => key(what, event));
      group.addEventListener("focus", () => {
        reach(group);
        if (index !== null) chosen = index;
        later();
      });
      root.append(group);
      return group;
    };
    const points = indices().map((index) => {
      const shape = svg("path", "gd-line-shape");
      return { group: handle(index, "gd-line-point", svg("circle", "gd-line-ring"), shape), shape };
    });
    const mark = handle("test", "gd-line-test", svg("path", "gd-line-mark", { d: TEST }));
    const names = ["harmful", "helpful", "test"].map((name) => {
      const text = svg("text", `gd-line-name gd-line-name-${name}`, { "aria-hidden": "true" });
      root.append(text);
      return text;
    });
    root.addEventListener("pointermove", drag);
    root.addEventListener("pointerup", endDrag);
    root.addEventListener("pointercancel", cancelGesture);
    plot.replaceChildren(root);
    const toData = (event) => {
      const box = root.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * wide;
      const y = ((event.clientY - box.top) / box.height) * high;
      return [x0 + ((x - SPACE.left) / (right - SPACE.left)) * (x1 - x0), y0 + ((bottom - y) / (bottom - SPACE.top)) * (y1 - y0)];
    };
    view = { root, drawn, line, points, test: mark, names, px, py, toData, right, bottom, high };
    const where_ = stop ? stop.dataset.what : chosen ?? 0;
    reach(where_ === "test" ? mark : (points[where_] ?? points[0]).group);
    if (focused !== null) stop.focus({ preventScroll: true });
  }

  /** One of the points is in the tab order. */
  function reach(group) {
    stop?.setAttribute("tabindex", -1);
    stop = group;
    stop.setAttribute("tabindex", 0);
  }

  function hover(index) {
    if (gesture) return;
    hovered = index;
    later();
  }

  const looked = () => hovered ?? chosen;

  function drawPlot() {
    const { drawn, line, px, py } = view;
    const theta = found?.theta;
    const look = resultOf(looked());
    drawn.fit.setAttribute("d", theta ? line(theta) : "");
    drawn.ghost.setAttribute("d", theta && ghost ? line(ghost) : "");
    drawn.without.setAttribute("d", look && Number.isFinite(look.without[0]) ? line(look.without) : "");
    const stem = ({ x, y }) => `M${px(x).toFixed(1)},${py(y).toFixed(1)}V${py(at(theta, x)).toFixed(1)}`;
    drawn.stems.setAttribute("d", theta ? kept().map((index) => stem(place(index))).join("") : "");
    drawn["test-stem"].setAttribute("d", theta ? stem(where("test")) : "");
    for (const index of indices()) {
      const { group, shape } = view.points[index];
      const { x, y } = place(index);
      const result = resultOf(index);
      const share = result ? clamp(Math.abs(result.predicted) / scale.largest, 0, 1) : 0;
      const size = result ? 4 + 8 * Math.sqrt(share) : 6;
      group.setAttribute("transform", `translate(${px(x).toFixed(1)},${py(y).toFixed(1)})`);
      shape.setAttribute("d", SHAPES[result?.effect === "harmful" ? "harmful" : "helpful"](Number(size.toFixed(2))));
      group.firstChild.nextSibling.setAttribute("r", (size + 4).toFixed(1));
      group.dataset.effect = removed.has(index) ? "removed" : result?.effect ?? "neither";
      group.style.setProperty("--gd-share", `${(25 + 75 * Math.sqrt(share)).toFixed(0)}%`);
      group.classList.toggle("gd-line-chosen", index === looked());
      Object.assign(group.dataset, { x, y, influence: result?.influence, predicted: result?.predicted, leftOut: result?.leftOut });
    }
    const { x, y } = where("test");
    view.test.setAttribute("transform", `translate(${px(x).toFixed(1)},${py(y).toFixed(1)})`);
    Object.assign(view.test.dataset, { x, y, loss: found?.testLoss });
    const [worst, best] = [extreme(-1), extreme(1)];
    // Names stand above their points, the test point's below; two that would meet stand above each other.
    const meet = worst && best && Math.abs(px(worst.x) - px(best.x)) < 130 && Math.abs(py(worst.y) - py(best.y)) < 15;
    const label = (element, words_, spot, above) => {
      element.textContent = spot ? words_ : "";
      if (!spot) return;
      element.setAttribute("text-anchor", "middle");
      element.setAttribute("x", clamp(px(spot.x), SPACE.left + 58, view.right - 58).toFixed(1));
      element.setAttribute("y", clamp(py(spot.y) - above, 12, view.bottom - 4).toFixed(1));
    };
    label(view.names[0], `most harmful: ${worst?.index}`, worst, 19);
    label(view.names[1], `most helpful: ${best?.index}`, best, meet ? 34 : 19);
    const [name, below] = [view.names[2], py(y) + 26 < view.bottom];
    name.textContent = "test point";
    name.setAttribute("text-anchor", "middle");
    name.setAttribute("x", clamp(px(x), SPACE.left + 34, view.right - 34).toFixed(1));
    name.setAttribute("y", (py(y) + (below ? 25 : -16)).toFixed(1));
  }

  // --- the bars ------------------------------------------------------------------------------------------------------

  function buildBars() {
    const wide = bars.clientWidth;
    const title = make("figcaption", "", {}, "Change of the test loss when a point is removed");
    const high = view.high;
    const space = { left: 34, right: 116, top: 16, bottom: SPACE.bottom };
    const right = wide - space.right;
    const bottom = high - space.bottom;
    const each = Math.min(22, (bottom - space.top) / Math.max(1, order.length));
    const px = (value) => space.left + ((right - space.left) * (value - scale.low)) / (scale.high - scale.low);
    const root = svg("svg", "", { width: wide, height: high, viewBox: `0 0 ${wide} ${high}`, role: "img" });
    root.setAttribute("aria-label", "Predicted change and leave-one-out change of every point, most harmful first; the numbers are in the table below");
    const end = space.top + each * order.length;
    for (const value of ticks(scale.low, scale.high, (right - space.left) / 62)) {
      root.append(svg("line", value === 0 ? "gd-axis" : "gd-gridline", { x1: px(value), x2: px(value), y1: space.top, y2: end }));
      root.append(svg("text", "", { x: px(value), y: end + 14, "text-anchor": "middle" }, plain(value)));
    }
    root.append(
      svg("text", "gd-title", { x: (space.left + right) / 2, y: end + 30, "text-anchor": "middle" }, "← lower: harmful · higher: helpful →"),
      svg("text", "", { x: 0, y: 10 }, "point"),
      svg("text", "", { x: wide - 56, y: 10, "text-anchor": "end" }, "predicted"),
      svg("text", "", { x: wide, y: 10, "text-anchor": "end" }, "left out"),
    );
    const clip = svg("clipPath", "", { id: `${id}-bars` }, svg("rect", "", { x: space.left, y: 0, width: Math.max(0, right - space.left), height: high }));
    const field = svg("g", "", { "clip-path": `url(#${id}-bars)` });
    const floor = svg("path", "gd-line-floor");
    const floorName = svg("text", "gd-line-floor-name", { y: end - 4 }, "loss 0");
    root.append(clip);
    const made = order.map((index, place_) => {
      const top = space.top + each * place_;
      const thick = Math.max(3, Math.min(10, each * 0.55));
      const middle = top + each / 2;
      const ground = svg("rect", "gd-line-row", { x: 0, y: top, width: wide, height: each });
      const bar_ = svg("rect", "gd-line-bar-shape", { y: middle - thick / 2, height: thick });
      const reachTo = svg("path", "gd-line-gap");
      const tick = svg("path", "gd-line-truth-tick");
      const name = svg("text", "gd-line-index", { x: 26, y: middle + 4, "text-anchor": "end" }, String(index));
      const predicted = svg("text", "gd-line-value", { x: wide - 56, y: middle + 4, "text-anchor": "end" });
      const left = svg("text", "gd-line-value", { x: wide, y: middle + 4, "text-anchor": "end" });
      const group = svg("g", "gd-line-entry", {}, ground, name, predicted, left);
      group.addEventListener("pointerenter", () => hover(index));
      group.addEventListener("pointerleave", () => hover(null));
      group.addEventListener("click", () => elementOf(index).focus({ preventScroll: true }));
      root.append(group);
      field.append(reachTo, bar_, tick);
      return { index, group, bar: bar_, gap: reachTo, tick, predicted, left, middle, thick };
    });
    field.style.pointerEvents = "none";
    field.append(floor);
    root.append(field, floorName);
    bars.replaceChildren(title, root);
    rows = { made, px, floor, floorName, top: space.top, end, right };
  }

  function drawBars() {
    const zero = rows.px(0);
    for (const { index, group, bar: shape, gap, tick, predicted, left, middle, thick } of rows.made) {
      const result = resultOf(index);
      const to = rows.px(result?.predicted ?? 0);
      shape.setAttribute("x", Math.min(zero, to).toFixed(1));
      shape.setAttribute("width", Math.abs(to - zero).toFixed(1));
      shape.dataset.effect = result?.effect ?? "neither";
      const known = result && Number.isFinite(result.leftOut);
      const true_ = known ? rows.px(result.leftOut).toFixed(1) : 0;
      tick.setAttribute("d", known ? `M${true_},${(middle - thick / 2 - 3).toFixed(1)}V${(middle + thick / 2 + 3).toFixed(1)}` : "");
      gap.setAttribute("d", known ? `M${to.toFixed(1)},${middle.toFixed(1)}H${true_}` : "");
      predicted.textContent = number(result?.predicted);
      left.textContent = number(result?.leftOut);
      group.classList.toggle("gd-line-chosen", index === looked());
    }
    const floor = found ? rows.px(-found.testLoss) : NaN;
    const shown = found && found.testLoss > 0 && -found.testLoss > scale.low && rows.made.length > 0;
    rows.floor.setAttribute("d", shown ? `M${floor.toFixed(1)},${rows.top}V${rows.end}` : "");
    rows.floorName.textContent = shown ? "loss 0" : "";
    if (shown) rows.floorName.setAttribute("x", (floor + 4).toFixed(1));
  }

  // --- numbers -------------------------------------------------------------------------------------------------------

  function buildLegend() {
    const key_ = (shape, words) => make("li", "", {}, shape, make("span", "", {}, words));
    const sample = (className, d) => svg("svg", "gd-swatch", { width: 28, height: 16, viewBox: "0 0 28 16", "aria-hidden": "true" }, svg("path", className, { d, transform: "translate(14,8)" }));
    legend.replaceChildren(
      key_(sample("gd-line-key-harmful", SHAPES.harmful(6)), "harmful: removing it lowers the test loss"),
      key_(sample("gd-line-key-helpful", SHAPES.helpful(6)), "helpful: removing it raises it"),
      key_(sample("gd-line-fit", "M-13,0H13"), "fitted line"),
      key_(sample("gd-line-without", "M-13,0H13"), "fitted without the chosen point"),
      key_(sample("gd-line-truth", "M-13,0H13"), "true line"),
      key_(sample("gd-line-ghost", "M-13,0H13"), "before the last move"),
      key_(sample("gd-line-truth-tick", "M0,-7V7"), "in the bars: left out"),
    );
  }

  // What is cut off must be within reach of the keyboard; what is not would only be in its way.
  const fitting = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });

  function buildEquation() {
    fitting.disconnect();
    const title = make("h3", "", {}, "The numbers in the equation");
    const parts = EQUATION.map(([name, body]) => {
      const part = make("div", "gd-line-part", {}, make("span", "gd-muted", {}, name));
      const holder = make("div", "gd-line-math", { role: "group", "aria-label": name });
      fitting.observe(holder);
      holder.innerHTML = body; // ours, without anything from people
      part.append(holder);
      if (name === "Influence") part.classList.add("gd-line-wide");
      return part;
    });
    equation.replaceChildren(title, make("div", "gd-line-parts", {}, ...parts));
    numbers = new Map();
    for (const node of equation.querySelectorAll("[data-n]")) numbers.set(node.dataset.n, [...(numbers.get(node.dataset.n) ?? []), node]);
  }

  function write(values) {
    for (const [name, value] of Object.entries(values)) {
      for (const node of numbers.get(name) ?? []) if (node.textContent !== value) node.textContent = value;
    }
  }

  function drawNumbers() {
    const index = looked();
    const result = resultOf(index);
    const step = result ? [result.without[0] - found.theta[0], result.without[1] - found.theta[1]] : [];
    const signed = (value) => (value < 0 ? `(${number(value)})` : number(value));
    write({
      index: String(index ?? ""),
      n: String(found?.n ?? "–"),
      decay: number(picture.decay),
      h0: number(found?.hessian[0]), h1: number(found?.hessian[1]), h2: number(found?.hessian[2]),
      i0: number(found?.inverse[0]), i1: number(found?.inverse[1]), i2: number(found?.inverse[2]),
      rt: signed(found?.testResidual), xt: number(test.x),
      gt0: number(found?.testGradient[0]), gt1: number(found?.testGradient[1]),
      r: signed(result?.residual), x: number(result?.x), g0: number(result?.gradient[0]), g1: number(result?.gradient[1]),
      influence: signed(result?.influence),
      predicted: number(result?.predicted),
      d0: number(step[0]), d1: number(step[1]),
      first: number(result?.firstOrder), square: number(result?.square), left: number(result?.leftOut),
    });
    readout.textContent = found ? describe(index) : "All points have the same x: there is no unique line.";
    if (index !== null) remove.textContent = removed.has(index) ? `Bring point ${index} back` : `Remove point ${index}`;
    undo.disabled = !undos.length;
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  function draw() {
    drawPlot();
    drawBars();
    drawNumbers();
  }

  function later() {
    if (frame) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (!view) return;
      compute();
      draw();
      if (stop) stop.setAttribute("aria-label", describe(stop.dataset.what === "test" ? "test" : Number(stop.dataset.what)));
    });
  }

  function build() {
    if (!el.clientWidth || !picture.x) return;
    width = el.clientWidth;
    compute();
    if (!window_ || !(gesture || settling)) {
      window_ = wanted();
      measure();
    }
    buildPlot();
    buildBars();
    draw();
    nameAll();
  }

  reset.addEventListener("click", resetAll);
  undo.addEventListener("click", undoLast);
  remove.addEventListener("click", () => chosen !== null && toggle(chosen));
  model.on("change:picture", () => {
    const count = picture.x?.length;
    picture = model.get("picture");
    if (!picture.x) return;
    if (gesture && count === picture.x.length) later();
    else if (view && count === picture.x.length && !settling) settle();
    else if (!settling) build();
    else later();
  });
  model.on("change:state", () => {
    if (gesture || settling || telling) return;
    const state = model.get("state");
    if (JSON.stringify(state) === JSON.stringify(snapshot())) return;
    take(state);
    if (view) settle();
  });
  const resized = new ResizeObserver(() => {
    if (Math.abs(el.clientWidth - width) > 1) build();
  });
  resized.observe(el);
  const showWords = () => (words.innerHTML = model.get("words")); // Python's, of numbers only
  model.on("change:words", showWords);
  showWords();
  buildLegend();
  buildEquation();
  take({ moved: [], removed: [], test_x: 0, test_offset: 0, ...model.get("state") });
  build();
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(telling);
    clearTimeout(settling);
    resized.disconnect();
  };
}

export default { render };
