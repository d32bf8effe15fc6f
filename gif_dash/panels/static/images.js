// A test image, and the training images of both sides of a ranking as buttons; a score plot to choose from.
// See gif_dash/panels/images.py, and gif_dash/figures/attribution.py for the content.

const SMALL = 40; // pixels up to which a picture is shown as pixels
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 300, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 40;
const LEAST = 300; // pixels that the score plot is wide, at least

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

function picture(url, alt = "") {
  if (!url) return make("span", "gd-nopicture", { "aria-hidden": "true" }, "no picture");
  const image = make("img", "", { src: url, alt, decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("gd-pixels", image.naturalWidth <= SMALL));
  return image;
}

/** Round numbers between two ends, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high + 1e-12; place += 1) found.push(place * step);
  return found;
}

const short = (value) => String(Number(value.toPrecision(3))).replace("-", "−");

function inside(polygon, x, y) {
  let within = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) within = !within;
  }
  return within;
}

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  el.classList.add("gd-imagebox");
  const own = `gd-images-${fresh()}`;
  const strip = make("div", "gd-strip", { role: "group", "aria-label": "Test images, the highest loss first" });
  const stripHead = make("p", "gd-help");
  const asked = make("div", "gd-asked");
  const tabs = make("div", "gd-toggle gd-rankings", { role: "radiogroup", "aria-label": "Ranking" });
  const unit = make("p", "gd-help");
  const sides = make("div", "gd-sides");
  const plot = make("figure", "gd-scoreplot");
  const tray = make("div", "gd-tray");
  el.classList.toggle("gd-lookedat", model.get("choosing") === false);
  el.append(stripHead, strip, asked, tabs, unit, sides, plot, tray);

  let tiles = []; // {index, button}
  let points = []; // {index, element, x, y, title}
  let width = 760; // of the score plot; follows the page
  const choosing = model.get("choosing") ?? true; // else the images are only looked at
  const selected = () => new Set(model.get("selected"));
  const choose = (indices) => {
    model.set("selected", [...indices].sort((a, b) => a - b));
    model.save_changes();
    mark();
  };
  const toggle = (index) => {
    const now = selected();
    if (!now.delete(index)) now.add(index);
    choose(now);
  };
  const current = () => {
    const rankings = model.get("content").rankings ?? [];
    return rankings.find((entry) => entry.key === model.get("ranking")) ?? rankings[0];
  };

  // --- the test image ------------------------------------------------------------------------------------------------

  function fillStrip() {
    const { gallery, query } = model.get("content");
    const wrong = gallery.filter((entry) => entry.wrong).length;
    stripHead.textContent = `Test images, the highest loss first${wrong ? `; ✗ ${wrong} of these are taken for something else` : ""}. Press one to ask about it.`;
    strip.replaceChildren(...gallery.map((entry) => {
      const button = make("button", "gd-testimage", { type: "button", title: entry.title, "aria-label": entry.title });
      button.append(picture(entry.url));
      button.append(make("span", entry.wrong ? "gd-iswrong" : "", {}, entry.wrong ? `✗ ${entry.says}` : entry.says));
      if (entry.index === query.index) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => model.send({ do: "query", index: entry.index }));
      return button;
    }));
  }

  function fillAsked() {
    const { query } = model.get("content");
    const words = make("p");
    words.innerHTML = query.words; // escaped in Python
    asked.replaceChildren(picture(query.url, `the test image, a ${query.label}`), words);
  }

  // --- the training images -------------------------------------------------------------------------------------------

  function fillTabs() {
    const shown = current();
    tabs.replaceChildren(...(model.get("content").rankings ?? []).map((entry) => {
      const input = make("input", "", { type: "radio", name: own, value: entry.key });
      input.checked = entry === shown;
      input.addEventListener("change", () => {
        model.set("ranking", entry.key);
        model.save_changes();
        fillSides();
      });
      return make("label", "", {}, input, make("span", "", {}, entry.label));
    }));
  }

  function fillSides() {
    const shown = current();
    tiles = [];
    unit.textContent = shown ? `The number: ${shown.unit}.` : "";
    sides.replaceChildren(...(shown?.sides ?? []).map((side) => {
      const indices = side.tiles.map((tile) => tile.index);
      const all = make("button", "gd-button gd-quiet", { type: "button", "aria-label": `Choose all: ${side.title}` }, "Choose all");
      all.hidden = !indices.length || !choosing;
      all.addEventListener("click", () => choose(new Set([...model.get("selected"), ...indices])));
      const grid = make("div", "gd-tiles", { role: "group", "aria-label": side.title });
      if (!indices.length) grid.append(make("p", "gd-muted", {}, "There is none."));
      for (const tile of side.tiles) {
        const kind = choosing ? { type: "button" } : { role: "img" };
        const button = make(choosing ? "button" : "div", "gd-tile", { ...kind, title: tile.words, "aria-label": tile.words });
        button.append(picture(tile.url), make("span", tile.wrong ? "gd-iswrong" : "", {}, tile.label), make("small", "", {}, tile.score));
        grid.append(button);
        if (!choosing) continue;
        button.addEventListener("click", () => toggle(tile.index));
        tiles.push({ index: tile.index, button });
      }
      return make("section", `gd-side gd-side-${side.key}`, {}, make("div", "gd-side-head", {}, make("h3", "", {}, side.title), all), grid);
    }));
    fillPlot(shown);
    mark();
  }

  // --- the score plot ------------------------------------------------------------------------------------------------

  function fillPlot(shown) {
    width = Math.max(LEAST, Math.round(plot.clientWidth) || width);
    points = [];
    plot.replaceChildren();
    const data = model.get("content").plot;
    if (!shown || !data) return;
    const scores = data.scores[shown.key];
    const places = scores.map((_, place) => place).filter((place) => scores[place] !== null && data.loss[place] !== null);
    if (!places.length) return;
    const ghosts = data.before?.[shown.key];
    const faint = ghosts ? places.filter((place) => ghosts[place] !== null) : [];
    const xs = [...places.map((place) => scores[place]), ...faint.map((place) => ghosts[place])];
    const low = Math.min(0, ...xs), high = Math.max(0, ...xs);
    const pad = (high - low || 1) * 0.04;
    const floor = Math.max(1e-8, Math.min(...places.map((place) => data.loss[place]).filter((loss) => loss > 0)));
    const bottom = Math.floor(Math.log10(Number.isFinite(floor) ? floor : 1e-8));
    const top = Math.ceil(Math.log10(Math.max(10 ** (bottom + 1), ...places.map((place) => data.loss[place]))));
    const toX = (value) => LEFT + ((value - low + pad) / (high - low + 2 * pad)) * (width - LEFT - RIGHT);
    const toY = (loss) => HEIGHT - BOTTOM - ((Math.log10(Math.max(loss, 10 ** bottom)) - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${shown.label} against the own loss of ${places.length} training images; the table below the pictures has the numbers` });
    for (const value of ticks(low, high, 6)) {
      svg.append(draw("line", { x1: toX(value), x2: toX(value), y1: TOP, y2: HEIGHT - BOTTOM, class: Math.abs(value) < 1e-12 ? "gd-zero" : "gd-gridline" }));
      svg.append(draw("text", { x: toX(value), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, short(value)));
    }
    const every = Math.ceil((top - bottom) / 6);
    for (let power = bottom; power <= top; power += every) {
      svg.append(draw("line", { x1: LEFT, x2: width - RIGHT, y1: toY(10 ** power), y2: toY(10 ** power), class: "gd-gridline" }));
      const text = draw("text", { x: LEFT - 6, y: toY(10 ** power) + 4, "text-anchor": "end" });
      text.textContent = Math.abs(power) < 4 ? short(10 ** power) : `10${String(power).replace(/./g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻")}`;
      svg.append(text);
    }
    svg.append(draw("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, shown.label));
    svg.append(draw("text", { x: 12, y: (HEIGHT - BOTTOM) / 2, transform: `rotate(-90 12 ${(HEIGHT - BOTTOM) / 2})`, "text-anchor": "middle" }, "own loss"));
    for (const place of faint) svg.append(draw("circle", { cx: toX(ghosts[place]).toFixed(1), cy: toY(data.loss[place]).toFixed(1), r: 2.2, class: "gd-ghostpoint" }));
    for (const place of places) {
      const x = toX(scores[place]), y = toY(data.loss[place]);
      const side = scores[place] > 0 ? "for" : "against";
      const element = draw("path", { d: side === "for" ? "M0,-4L3.6,2.6H-3.6Z" : "M2.8,0A2.8,2.8,0,1,1,-2.8,0A2.8,2.8,0,1,1,2.8,0Z", transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, class: `gd-point gd-point-${side}` });
      svg.append(element);
      points.push({ index: data.index[place], element, x, y, title: `training image ${data.index[place]}, ${data.title[place]}, ${short(scores[place])}, own loss ${short(data.loss[place])}` });
    }
    const lasso = draw("path", { class: "gd-lasso" });
    svg.append(lasso);
    const tip = make("div", "gd-tip", { hidden: "" });
    lassoing(svg, lasso, tip);
    const many = points.length < data.all ? ` (${points.length} of ${data.all} drawn)` : "";
    plot.append(
      make("figcaption", "", {}, `All training images${many}: ${choosing ? "draw a line around some to choose them, press one to choose or drop it" : "point at one to read its numbers"}${faint.length ? "; faint: the run before" : ""}`),
      make("div", "gd-plotbox", {}, svg, tip),
    );
  }

  function lassoing(svg, lasso, tip) {
    let path = null;
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * HEIGHT];
    };
    const nearest = ([x, y]) => {
      let best = null, least = 81;
      for (const point of points) {
        const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (distance < least) [best, least] = [point, distance];
      }
      return best;
    };
    svg.addEventListener("pointerdown", (event) => {
      if (event.button || !choosing) return;
      path = [at(event)];
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", (event) => {
      const place = at(event);
      if (path) {
        path.push(place);
        lasso.setAttribute("d", `M${path.map((point) => point.map((value) => value.toFixed(1)).join(",")).join("L")}Z`);
        tip.hidden = true;
        return;
      }
      const point = nearest(place);
      tip.hidden = !point;
      if (!point) return;
      tip.textContent = point.title;
      const box = svg.getBoundingClientRect();
      const left = (point.x / width) * box.width;
      tip.style.top = `${(point.y / HEIGHT) * box.height + 12}px`;
      tip.style.left = left < box.width / 2 ? `${left + 8}px` : "";
      tip.style.right = left < box.width / 2 ? "" : `${box.width - left + 8}px`;
    });
    svg.addEventListener("pointerleave", () => (tip.hidden = true));
    const end = (event) => {
      if (!path) return;
      const drawn = path;
      path = null;
      lasso.setAttribute("d", "");
      const [x, y] = drawn[0];
      const far = drawn.some(([px, py]) => Math.hypot(px - x, py - y) > 8);
      if (!far) {
        const point = nearest(at(event));
        if (point) toggle(point.index);
        return;
      }
      const caught = points.filter((point) => inside(drawn, point.x, point.y)).map((point) => point.index);
      if (caught.length) choose(new Set([...model.get("selected"), ...caught]));
    };
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", () => {
      path = null;
      lasso.setAttribute("d", "");
    });
  }

  new ResizeObserver(() => {
    if (plot.clientWidth && Math.abs(plot.clientWidth - width) > 4) {
      fillPlot(current());
      mark();
    }
  }).observe(plot);

  // --- the chosen ones -----------------------------------------------------------------------------------------------

  const count = make("p", "gd-count", { role: "status" });
  const remove = make("button", "gd-button gd-primary", { type: "button" }, "Remove these and see");
  const cancel = make("button", "gd-button", { type: "button" }, "Cancel");
  const clear = make("button", "gd-button gd-quiet", { type: "button" }, "Choose none");
  const again = make("input", "", { type: "checkbox" });
  const againLabel = make("label", "gd-check", {}, again, make("span", "", {}, "train again, too"));
  const progress = make("progress", "gd-progress", { "aria-label": "Progress of the removal", max: "1" });
  const status = make("span", "gd-status", { role: "status" });
  const error = make("p", "gd-error", { role: "alert" });
  tray.append(count, make("div", "gd-buttons", {}, remove, againLabel, clear, cancel), progress, status, error);
  remove.addEventListener("click", () => model.send({ do: "remove" }));
  cancel.addEventListener("click", () => model.send({ do: "cancel" }));
  clear.addEventListener("click", () => choose([]));
  again.addEventListener("change", () => {
    model.set("retrain", again.checked);
    model.save_changes();
  });

  function mark() {
    const now = selected();
    for (const { index, button } of tiles) button.setAttribute("aria-pressed", String(now.has(index)));
    for (const { index, element } of points) element.classList.toggle("gd-chosen", now.has(index));
    const list = [...now];
    const named = list.slice(0, 10).join(", ") + (list.length > 10 ? ", …" : "");
    count.textContent = list.length
      ? `${list.length} training ${list.length === 1 ? "image" : "images"} chosen: ${named}`
      : "Choose training images above (press them, or draw a line around points), then remove them.";
    clear.hidden = !list.length;
    follow();
  }

  function follow() {
    const running = model.get("running");
    remove.disabled = running || !model.get("selected").length;
    remove.classList.toggle("gd-primary", !remove.disabled);
    again.checked = model.get("retrain");
    again.disabled = running;
    cancel.hidden = !running;
    progress.hidden = !running;
    const fraction = model.get("fraction");
    if (fraction === null) progress.removeAttribute("value");
    else progress.value = fraction;
    status.textContent = model.get("status");
    error.textContent = model.get("error");
    error.hidden = !model.get("error");
  }

  function build() {
    const ready = Boolean(model.get("content").query);
    for (const part of [stripHead, strip, asked, tabs, unit, sides, plot]) part.hidden = !ready;
    tray.hidden = !ready || !choosing;
    if (!ready) return;
    const held = strip.scrollLeft;
    fillStrip();
    strip.scrollLeft = held;
    fillAsked();
    fillTabs();
    fillSides();
  }

  model.on("change:content", build);
  model.on("change:ranking", () => {
    if (!model.get("content").query) return;
    fillTabs();
    fillSides();
  });
  model.on("change:selected", mark);
  for (const name of ["running", "status", "fraction", "error", "retrain"]) model.on(`change:${name}`, follow);
  build();
}

export default { render };
