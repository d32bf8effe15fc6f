// The plane of two target weights, step by step: contours, trajectories, measures, player. See gif_dash/panels/toy.py.
// Everything comes from data that is already here; Python is told the step, and never asked. Points changed by hand are
// followed at once (least.js), Python is told, and its picture takes the place of what was followed.

const SVG = "http://www.w3.org/2000/svg";
const SPACE = { left: 46, right: 14, top: 10, bottom: 38 };
const ROW = { left: 46, right: 14, top: 6, bottom: 8, axis: 34, caption: 18, gap: 6 };
const LANDMARKS = {
  "triangle-down": "M0,7L-7,-5.5H7Z",
  "diamond-open": "M0,-9.5L9.5,0L0,9.5L-9.5,0Z",
  "x-thin-open": "M-7.5,-7.5L7.5,7.5M-7.5,7.5L7.5,-7.5",
  star: "M0,-9L2.1,-2.9L8.6,-2.8L3.4,1.1L5.3,7.3L0,3.6L-5.3,7.3L-3.4,1.1L-8.6,-2.8L-2.1,-2.9Z",
};
const ARROWS = ["→", "↘", "↓", "↙", "←", "↖", "↑", "↗"];
const COMPARED = ["gif", "fif", "pif"];
const MOST_EDITS = 400; // as many fit in a link; gif_dash/specs/toy_edits.py
const NEAR = 18; // pixels within which a step is pointed at

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

const css = (style) => (style.colour === style.dark ? style.colour : `light-dark(${style.colour}, ${style.dark})`);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const mix = (a, b, share) => a + (b - a) * share;

/** The element of a list at a fractional place, by linear interpolation; a list of one stands for all places. */
function along(list, at) {
  const low = clamp(Math.floor(at), 0, list.length - 1);
  const high = Math.min(low + 1, list.length - 1);
  const share = clamp(at - low, 0, 1);
  return Array.isArray(list[low]) ? list[low].map((value, i) => mix(value, list[high][i], share)) : mix(list[low], list[high], share);
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0 || Math.abs(value) < 1e-9) return "0";
  if (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) return value.toExponential(1).replace("-", "−");
  return value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3).replace("-", "−");
}

/** Round numbers from low to high, about as many as asked for. */
function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place++) found.push(Number((place * step).toPrecision(12)));
  return found;
}

const tickText = (value) => String(value).replace("-", "−");

function swatch(style, tables) {
  const picture = svg("svg", "gd-swatch", { width: 28, height: 14, viewBox: "0 0 28 14", "aria-hidden": "true" });
  const stroke = svg("path", "", { d: "M1,7H27", "stroke-dasharray": tables.dashes[style.dash] });
  stroke.style.cssText = `fill:none;stroke:${css(style)};stroke-width:${style.width}`;
  picture.append(stroke);
  if (style.marker) {
    const marker = svg("path", "", { transform: "translate(14,7)", d: tables.markers[style.marker] });
    marker.style.fill = css(style);
    picture.append(marker);
  }
  return picture;
}

/** Puts texts where they overlap neither each other nor what must stay visible; keeps a text's side while it may. */
class Labels {
  constructor() {
    this.sides = new Map();
  }

  start(width, height) {
    this.taken = [];
    this.lines = [];
    this.bounds = { left: SPACE.left + 2, right: width - SPACE.right - 2, top: SPACE.top + 2, bottom: height - SPACE.bottom - 2 };
  }

  /** A point of a line: better not covered. */
  avoid(x, y) {
    this.lines.push([x, y]);
  }

  /** A mark: not to be covered. */
  block(x, y, radius) {
    this.taken.push({ left: x - radius, right: x + radius, top: y - radius, bottom: y + radius });
  }

  /** Whether a text in this box would cover anything. */
  covers({ left, right, top, bottom }) {
    return (
      this.taken.some((other) => other.left < right && other.right > left && other.top < bottom && other.bottom > top) ||
      this.lines.some(([x, y]) => x > left && x < right && y > top && y < bottom)
    );
  }

  place(key, element, x, y, width, gap) {
    const high = 14;
    const spots = [
      [x + gap, y - high / 2], [x - gap - width, y - high / 2],
      [x - width / 2, y - gap - high], [x - width / 2, y + gap],
      [x + gap * 0.8, y - gap - high * 0.7], [x + gap * 0.8, y + gap - high * 0.3],
      [x - gap * 0.8 - width, y - gap - high * 0.7], [x - gap * 0.8 - width, y + gap - high * 0.3],
      [x + gap, y - gap - high * 1.6], [x + gap, y + gap + high * 0.6],
      [x - gap - width, y - gap - high * 1.6], [x - gap - width, y + gap + high * 0.6],
    ];
    let best = null;
    const before = this.sides.get(key);
    spots.forEach(([left, top], side) => {
      const box = { left, right: left + width, top, bottom: top + high };
      let cost = side * 0.5 + (side === before ? -6 : 0);
      for (const other of this.taken) {
        const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const tall = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (wide > 0 && tall > 0) cost += 10 + wide * tall;
      }
      for (const [px, py] of this.lines) {
        if (px > box.left && px < box.right && py > box.top && py < box.bottom) cost += 3;
      }
      cost += 40 * Math.max(0, this.bounds.left - box.left, box.right - this.bounds.right, this.bounds.top - box.top, box.bottom - this.bounds.bottom);
      if (!best || cost < best.cost) best = { cost, side, box };
    });
    this.sides.set(key, best.side);
    this.taken.push(best.box);
    element.setAttribute("x", best.box.left.toFixed(1));
    element.setAttribute("y", (best.box.top + 11).toFixed(1));
  }
}

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  const id = `gd-plane-${fresh()}`;
  el.classList.add("gd-toy");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const play = make("button", "gd-button gd-primary gd-play", { type: "button" }, "Play");
  const step = make("button", "gd-button", { type: "button", "aria-label": "One step on" }, "Step");
  const reset = make("button", "gd-button", { type: "button", "aria-label": "Back to the start" }, "Reset");
  const slider = make("input", "", { type: "range", min: 0, step: 1, id: `${id}-slider`, "aria-label": "Step" }); // the visible label goes where there is little room
  const sliderLabel = make("label", "gd-label", { for: `${id}-slider` }, "Step");
  const caption = make("output", "gd-caption", { for: `${id}-slider` });
  const player = make("div", "gd-player", { role: "group", "aria-label": "Removal, step by step" }, play, step, reset, sliderLabel, slider, caption);
  const plane = make("figure", "gd-plane");
  const data = make("figure", "gd-data");
  const solving = make("section", "gd-solve", { "aria-label": "The solve at this step" });
  const measures = make("div", "gd-measures");
  const legend = make("ul", "gd-legend", { "aria-label": "Legend" });
  const readout = make("div", "gd-scroll gd-readout", { tabindex: 0, role: "region", "aria-label": "Values at the step" });
  el.append(player, make("div", "gd-toy-views", {}, plane, data), solving, legend, measures, readout);

  let picture = model.get("picture");
  let at = 0; // the step, fractional between two of them while it plays
  let window_ = null; // what the plane shows; held while it plays
  let near = false;
  let movers = [];
  let refreshers = []; // what redraws lines whose numbers have changed
  let playing = false;
  let saving = 0;
  const labels = new Labels();
  const last = () => picture.plane.positions.length - 1;

  // --- the plane ---------------------------------------------------------------------------------------------------

  function buildPlane() {
    const shown = picture.plane;
    const width = plane.clientWidth;
    const height = clamp(Math.round(width * 0.88), 300, 490);
    const inner = { width: width - SPACE.left - SPACE.right, height: height - SPACE.top - SPACE.bottom };
    const [x0, x1, y0, y1] = window_;
    const scale = Math.min(inner.width / (x1 - x0), inner.height / (y1 - y0)); // one unit is as long on both axes
    const [midX, midY] = [(x0 + x1) / 2, (y0 + y1) / 2];
    const px = (x) => SPACE.left + inner.width / 2 + (x - midX) * scale;
    const py = (y) => SPACE.top + inner.height / 2 - (y - midY) * scale;
    const right = SPACE.left + inner.width;
    const bottom = SPACE.top + inner.height;

    // A group, not an image: the marks at the ends of the trajectories are sliders.
    const root = svg("svg", "", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group" });
    root.setAttribute("aria-label", `Trajectories of the methods in the plane of ${shown.x_title} and ${shown.y_title}; the numbers are in the table below`);
    const clip = svg("clipPath", "", { id: `${id}-clip` }, svg("rect", "", { x: SPACE.left, y: SPACE.top, width: inner.width, height: inner.height }));
    root.append(clip, svg("rect", "gd-ground", { x: SPACE.left, y: SPACE.top, width: inner.width, height: inner.height }));
    const field = svg("g", "", { "clip-path": `url(#${id}-clip)` });

    const left = midX - inner.width / 2 / scale;
    const low = midY - inner.height / 2 / scale;
    for (const x of ticks(left, left + inner.width / scale, inner.width / 80)) {
      root.append(svg("line", "gd-axis", { x1: px(x), x2: px(x), y1: bottom, y2: bottom + 4 }));
      root.append(svg("text", "", { x: px(x), y: bottom + 16, "text-anchor": "middle" }, tickText(x)));
    }
    for (const y of ticks(low, low + inner.height / scale, inner.height / 70)) {
      root.append(svg("line", "gd-axis", { x1: SPACE.left - 4, x2: SPACE.left, y1: py(y), y2: py(y) }));
      root.append(svg("text", "", { x: SPACE.left - 7, y: py(y) + 4, "text-anchor": "end" }, tickText(y)));
    }
    root.append(svg("text", "gd-title", { x: (SPACE.left + right) / 2, y: height - 4, "text-anchor": "middle" }, shown.x_title));
    root.append(svg("text", "gd-title", { transform: `translate(12,${(SPACE.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, shown.y_title));
    root.append(field);

    // Contours, closed ellipses that are cut at the frame. Their labels move along with them.
    const rings = (shown.contours[0] ?? []).map(() => {
      const ring = svg("path", "gd-contour");
      field.append(ring);
      return ring;
    });
    const ringLabels = svg("g", "gd-contour-labels");

    const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)},${py(y).toFixed(1)}`).join("");
    const stroke = (path, className) => {
      const drawn = svg("path", className, { "stroke-dasharray": shown.dashes[path.style.dash], "stroke-linejoin": "round" });
      drawn.style.cssText = `fill:none;stroke:${css(path.style)};stroke-width:${path.style.width}`;
      drawn.dataset.path = path.key;
      field.append(drawn);
      return drawn;
    };
    const ringed = svg("circle", "gd-pointed", { r: 8, visibility: "hidden" });
    field.append(ringed);
    for (const path of shown.ghosts) stroke(path, "gd-ghost").setAttribute("d", line(path.line));
    field.append(ringLabels);

    const text = (className, content) => {
      const written = svg("text", className, {}, content);
      root.append(written);
      return written;
    };
    const paths = shown.paths.map((path) => {
      const drawn = stroke(path, "gd-way");
      const every = Math.max(1, Math.ceil(path.points.length / 14));
      const dots = svg("g");
      const places = [];
      path.points.forEach((_, i) => {
        if (!path.style.marker || i % every) return;
        const dot = svg("path", "gd-small", { d: shown.markers[path.style.marker] });
        dot.style.fill = css(path.style);
        dots.append(dot);
        places.push(i);
      });
      refreshers.push(() =>
        [...dots.children].forEach((dot, k) => {
          const [x, y] = path.points[places[k]];
          dot.setAttribute("transform", `translate(${px(x).toFixed(1)},${py(y).toFixed(1)}) scale(0.62)`);
        }),
      );
      field.append(dots);
      return { path, drawn, dots: [...dots.children], places };
    });
    const heads = paths.map(({ path }) => {
      const head = svg("path", "gd-head", { d: path.style.marker ? shown.markers[path.style.marker] : "M3,0A3,3,0,1,1,-3,0A3,3,0,1,1,3,0Z" });
      head.style.fill = css(path.style);
      head.dataset.head = path.key;
      if (path.key !== "retrain") stepper(head, path);
      field.append(head);
      const name = text("gd-name", path.key === "retrain" ? "" : path.label); // its mark has a label already
      name.style.fill = `color-mix(in srgb, ${css(path.style)} 75%, var(--gd-text))`; // text needs more contrast than lines
      return { head, name, wide: 0 };
    });
    const marks = shown.landmarks.map((mark) => {
      const drawn = svg("path", `gd-landmark gd-${mark.key}`, { d: LANDMARKS[mark.symbol] });
      drawn.dataset.landmark = mark.key;
      field.append(drawn);
      return { mark, drawn, name: text("gd-name gd-mark-name", mark.label), wide: 0 };
    });

    // The picture must be in the page before texts have a width.
    const whole = make("button", "gd-button gd-quiet gd-zoom", { type: "button", "aria-pressed": String(near) }, near ? "Show all" : "Closer to FIF and GIF");
    whole.hidden = !shown.near;
    whole.addEventListener("click", () => {
      near = !near;
      window_ = null;
      build();
      plane.querySelector(".gd-zoom").focus();
    });
    const focused = plane.contains(document.activeElement) ? document.activeElement.dataset?.head : "";
    plane.replaceChildren(make("figcaption", "", {}, make("span", "", {}, shown.title), whole), root);
    if (focused) root.querySelector(`[data-head="${focused}"]`)?.focus({ preventScroll: true });
    for (const each of [...heads, ...marks]) each.wide = each.name.getComputedTextLength();

    /** Where a text belongs: at its point, or at the frame with an arrow if the point is outside. */
    const anchor = (each, plain, point) => {
      const [x, y] = [px(point[0]), py(point[1])];
      const seen = { x: clamp(x, SPACE.left + 8, right - 8), y: clamp(y, SPACE.top + 8, bottom - 8) };
      const outside = Math.hypot(x - seen.x, y - seen.y) > 9;
      const turn = Math.round(Math.atan2(y - seen.y, x - seen.x) / (Math.PI / 4) + 8) % 8;
      const words = outside ? `${plain} (${number(point[0])}, ${number(point[1])}) ${ARROWS[turn]}` : plain;
      if (each.name.textContent !== words) {
        each.name.textContent = words;
        each.wide = each.name.getComputedTextLength();
      }
      return { ...seen, outside };
    };

    movers.push((place) => {
      labels.start(width, height);
      const reached = Math.floor(place + 1e-9);
      paths.forEach(({ path, drawn, dots, places }, i) => {
        const now = along(path.line, place);
        drawn.setAttribute("d", line([...path.line.slice(0, reached + 1), now]));
        dots.forEach((dot, k) => (dot.style.visibility = places[k] <= reached ? "visible" : "hidden"));
        const here = along(path.points, place);
        heads[i].here = here;
        heads[i].head.setAttribute("transform", `translate(${px(here[0]).toFixed(1)},${py(here[1]).toFixed(1)}) scale(1.25)`);
        if (path.key !== "retrain") {
          heads[i].head.setAttribute("aria-valuenow", Math.round(place));
          heads[i].head.setAttribute("aria-valuetext", `${shown.captions[Math.round(place)]}: ${number(here[0])}, ${number(here[1])}`);
        }
        labels.block(px(here[0]), py(here[1]), 5);
        for (let k = 0; k < reached; k += 0.25) {
          const [x, y] = along(path.points, k);
          labels.avoid(px(x), py(y));
        }
      });
      marks.forEach((each) => {
        each.point = along(each.mark.points, place).map((value, k) => value + each.mark.shift[k]);
        each.drawn.setAttribute("transform", `translate(${px(each.point[0]).toFixed(1)},${py(each.point[1]).toFixed(1)})`);
        labels.block(px(each.point[0]), py(each.point[1]), 8);
      });
      marks.forEach((each) => {
        const seen = anchor(each, each.mark.label, each.point);
        labels.place(each.mark.key, each.name, seen.x, seen.y, each.wide, seen.outside ? 2 : 12);
      });
      heads.forEach((each, i) => {
        if (paths[i].path.key === "retrain") return;
        const seen = anchor(each, paths[i].path.label, each.here);
        labels.place(paths[i].path.key, each.name, seen.x, seen.y, each.wide, seen.outside ? 2 : 9);
      });

      const [from, to] = [0, 1].map((ahead) => shown.contours[Math.min(reached + ahead, shown.contours.length - 1)] ?? []);
      const share = place - reached;
      ringLabels.replaceChildren();
      rings.forEach((ring, i) => {
        const [a, b] = [from[i], to[i]];
        // An axis has no direction: take the nearer of the two angles.
        const turned = b.angle - Math.round((b.angle - a.angle) / Math.PI) * Math.PI;
        const angle = mix(a.angle, turned, share);
        const [x, y, major, minor] = ["x", "y", "major", "minor"].map((key) => mix(a[key], b[key], share));
        const at_ = (t) => {
          const [u, v] = [major * Math.cos(t), minor * Math.sin(t)];
          return [px(x + u * Math.cos(angle) - v * Math.sin(angle)), py(y + u * Math.sin(angle) + v * Math.cos(angle))];
        };
        const [ends, wide, tall] = [[at_(0), at_(Math.PI)], major * scale, minor * scale];
        const tilt = (-angle * 180) / Math.PI;
        ring.setAttribute("d", `M${ends[0]}A${wide},${tall},${tilt},1,1,${ends[1]}A${wide},${tall},${tilt},1,1,${ends[0]}`);
        for (let k = 0; k < 24; k++) {
          const [lx, ly] = at_((Math.PI * ((i * 5 + k * 7) % 24)) / 12 + 0.4);
          if (lx < SPACE.left + 18 || lx > right - 18 || ly < SPACE.top + 10 || ly > bottom - 8) continue;
          const box = { left: lx - 15, right: lx + 15, top: ly - 8, bottom: ly + 8 };
          if (labels.covers(box)) continue;
          labels.taken.push(box);
          ringLabels.append(svg("text", "gd-level", { x: lx.toFixed(1), y: (ly + 4).toFixed(1), "text-anchor": "middle" }, a.label));
          break;
        }
      });
    });

    // Pressing anywhere goes to the step whose point is nearest; pointing at one shows its solve.
    const nearest = (event) => {
      const box = root.getBoundingClientRect();
      const [mx, my] = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
      let best = { distance: Infinity, i: 0, key: "" };
      for (const { path } of paths) {
        if (path.key === "retrain") continue; // PIF goes the same way
        path.points.forEach(([x, y], i) => {
          const distance = Math.hypot(px(x) - mx, py(y) - my);
          if (distance < best.distance) best = { distance, i, key: path.key };
        });
      }
      return best;
    };
    const point = (found) => {
      pointed = found && found.distance < NEAR ? found : null;
      ringed.setAttribute("visibility", pointed ? "visible" : "hidden");
      if (pointed) {
        const [x, y] = paths.find(({ path }) => path.key === pointed.key).path.points[pointed.i];
        ringed.setAttribute("transform", `translate(${px(x).toFixed(1)},${py(y).toFixed(1)})`);
      }
      showSolve();
    };
    const press = (event) => {
      const found = nearest(event);
      if (found.distance < NEAR) choose(found.key);
      go(found.i);
    };
    root.addEventListener("pointerdown", (event) => {
      root.setPointerCapture(event.pointerId);
      stop();
      point(null);
      press(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) press(event);
      else if (event.pointerType === "mouse" && !playing) point(nearest(event));
    });
    root.addEventListener("pointerleave", () => point(null));
  }

  /** The mark at the end of a trajectory goes along its steps with the arrow keys. */
  function stepper(head, path) {
    const named = { role: "slider", tabindex: 0, "aria-label": `${path.label}: along its trajectory`, "aria-valuemin": 0, "aria-valuemax": last() };
    for (const [name, value] of Object.entries(named)) head.setAttribute(name, value);
    head.addEventListener("focus", () => choose(path.key));
    head.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last() }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      stop();
      go(Math.round(to));
    });
  }

  // --- the measures ------------------------------------------------------------------------------------------------

  function buildMeasures() {
    const { chart } = picture;
    const shown = chart.quantities.filter((quantity) => quantity.axis);
    const columns = getComputedStyle(measures).gridTemplateColumns.split(" ").length;
    measures.replaceChildren(...shown.map((quantity, i) => measure(chart, quantity, 96, i >= shown.length - columns)));
  }

  function measure(chart, quantity, plotHeight, withAxis) {
    const title = make("figcaption", "", {}, quantity.title);
    const figure = make("figure", "gd-measure", {}, title);
    measures.append(figure);
    const width = figure.clientWidth;
    const height = plotHeight + (withAxis ? ROW.axis : ROW.bottom);
    const bottom = plotHeight;
    const right = width - ROW.right;
    const { low, high } = quantity.axis;
    const px = (x) => ROW.left + ((right - ROW.left) * (x - chart.x.low)) / (chart.x.high - chart.x.low);
    const py = (y) => bottom - ((bottom - ROW.top) * (y - low)) / (high - low);
    const root = svg("svg", "", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    root.setAttribute("aria-label", `${quantity.title} against ${chart.x.title}; the values at the step are in the table below`);
    figure.dataset.quantity = quantity.key;
    figure.append(root);
    for (const y of ticks(low, high, 3)) {
      root.append(svg("line", "gd-gridline", { x1: ROW.left, x2: right, y1: py(y), y2: py(y) }));
      root.append(svg("text", "", { x: ROW.left - 7, y: py(y) + 4, "text-anchor": "end" }, tickText(y)));
    }
    for (const x of ticks(chart.x.low, chart.x.high, (right - ROW.left) / 80)) {
      root.append(svg("line", "gd-axis", { x1: px(x), x2: px(x), y1: bottom, y2: bottom + 4 }));
      if (withAxis) root.append(svg("text", "", { x: px(x), y: bottom + 16, "text-anchor": "middle" }, tickText(x)));
    }
    if (withAxis) root.append(svg("text", "gd-title", { x: (ROW.left + right) / 2, y: height - 2, "text-anchor": "middle" }, chart.x.title));
    root.append(svg("path", "gd-axis", { d: `M${ROW.left},${ROW.top}V${bottom}H${right}` }));
    const clip = svg("clipPath", "", { id: `${id}-${quantity.key}` }, svg("rect", "", { x: ROW.left - 6, y: ROW.top - 5, width: right - ROW.left + 12, height: bottom - ROW.top + 10 }));
    const field = svg("g", "", { "clip-path": `url(#${id}-${quantity.key})` });
    root.append(clip, field);
    const curve = (style, className, key, d) => {
      const drawn = svg("path", className, { d, "stroke-dasharray": chart.dashes[style.dash], "stroke-linejoin": "round" });
      drawn.style.cssText = `fill:none;stroke:${css(style)};stroke-width:${style.width}`;
      drawn.dataset.line = key;
      field.append(drawn);
      return drawn;
    };
    const moving = (drawn, shape) => {
      refreshers.push(() => drawn.setAttribute("d", shape()));
      return drawn;
    };
    const shape = (line) => line.x.map((x, i) => `${i ? "L" : "M"}${px(x).toFixed(1)},${py(line.values[quantity.key][i]).toFixed(1)}`).join("");
    const trace = (line, className) => curve(line.style, className, line.key, shape(line));
    for (const mark of chart.marks) field.append(svg("line", "gd-mark", { x1: px(mark.x), x2: px(mark.x), y1: ROW.top, y2: bottom }));
    for (const line of chart.ghosts) trace(line, "gd-ghost");
    const flat = (level) => `M${ROW.left},${py(level.values[quantity.key])}H${right}`;
    for (const level of chart.levels) moving(curve(level.style, "gd-line", level.key, flat(level)), () => flat(level));
    for (const line of chart.lines) moving(trace(line, "gd-line"), () => shape(line));
    const cursor = svg("line", "gd-cursor", { y1: ROW.top, y2: bottom });
    field.append(cursor);
    const dots = chart.lines.map((line) => {
      const dot = svg("path", "gd-head", { d: chart.markers[line.style.marker] ?? "M2.5,0A2.5,2.5,0,1,1,-2.5,0A2.5,2.5,0,1,1,2.5,0Z" });
      dot.style.fill = css(line.style);
      dot.dataset.dot = line.key;
      field.append(dot);
      return dot;
    });
    movers.push((place) => {
      const x = px(along(chart.lines[0].x, place));
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      chart.lines.forEach((line, i) => dots[i].setAttribute("transform", `translate(${x.toFixed(1)},${py(along(line.values[quantity.key], place)).toFixed(1)})`));
    });
    const stepAt = (event) => {
      const box = root.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      const distances = chart.lines[0].x.map((each) => Math.abs(px(each) - x));
      return distances.indexOf(Math.min(...distances));
    };
    root.addEventListener("pointerdown", (event) => {
      root.setPointerCapture(event.pointerId);
      stop();
      go(stepAt(event));
    });
    root.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) go(stepAt(event));
    });
    return figure;
  }

  // --- the numbers -------------------------------------------------------------------------------------------------

  function buildReadout() {
    const { chart } = picture;
    legend.replaceChildren(
      ...[...chart.lines, ...chart.levels].map((item) => make("li", "", {}, swatch(item.style, chart), make("span", "", {}, item.label))),
      ...(picture.plane.ghosts.length ? [make("li", "gd-muted", {}, "faint: the settings before")] : []),
    );
    const columns = chart.quantities;
    const head = make("tr", "", {}, make("td"), ...columns.map((quantity) => make("th", "gd-num", { scope: "col" }, quantity.title)));
    const body = make("tbody");
    const title = make("caption");
    const rows = [...chart.lines, ...chart.levels].map((item) => {
      const cells = columns.map(() => make("td", "gd-num"));
      const row = make("tr", "", {}, make("th", "", { scope: "row" }, swatch(item.style, chart), make("span", "gd-method", {}, item.label)), ...cells);
      row.dataset.line = item.key;
      body.append(row);
      return { item, cells };
    });
    readout.replaceChildren(make("table", "gd-table", {}, title, make("thead", "", {}, head), body));
    let written = -1;
    refreshers.push(() => (written = -1));
    movers.push((place) => {
      const index = Math.round(place);
      if (index === written) return;
      written = index;
      title.textContent = `At ${picture.plane.captions[index]} (bold: least of GIF, FIF and PIF)`;
      columns.forEach((quantity, k) => {
        const values = rows.map(({ item }) => (item.x ? item.values[quantity.key][index] : item.values[quantity.key]));
        const compared = values.filter((_, i) => COMPARED.includes(rows[i].item.key));
        const least = Math.min(...compared);
        const tied = compared.filter((value) => value - least <= 1e-9 * (1 + Math.abs(least))).length > 1;
        rows.forEach(({ item, cells }, i) => {
          const best = quantity.axis && !tied && COMPARED.includes(item.key) && values[i] === least;
          cells[k].textContent = number(values[i]);
          cells[k].classList.toggle("gd-best", Boolean(best));
        });
      });
    });
  }

  // --- moving ------------------------------------------------------------------------------------------------------

  function draw() {
    for (const mover of movers) mover(at);
    pointsOf.move();
    showSolve();
    const index = Math.round(at);
    slider.value = index;
    const words = picture.plane.captions[index];
    if (caption.textContent !== words) caption.textContent = words;
    slider.setAttribute("aria-valuetext", `step ${index} of ${last()}: ${words}`);
    // Faint, not disabled: a focused button would lose the keyboard's focus.
    step.classList.toggle("gd-idle", !playing && at >= last());
    reset.classList.toggle("gd-idle", !playing && at === 0);
  }

  function go(to) {
    at = clamp(to, 0, last());
    draw();
    if (saving) return;
    saving = setTimeout(() => {
      saving = 0;
      model.set("step", Math.round(at));
      model.save_changes();
    }, 150);
  }

  let frame = 0;
  let then = 0;
  function run(now) {
    if (!playing) return;
    const seconds = clamp(last() * 0.22, 2.5, 8);
    const passed = then ? Math.min(0.25, (now - then) / 1000) : 0;
    if (still.matches) {
      // No motion between the steps: one after the other, each at rest for a while.
      if (!then || now - then > 1000 * Math.max(0.35, seconds / last())) {
        if (then) go(Math.floor(at) + 1);
        then = now;
      }
    } else {
      then = now;
      go(at + (passed * last()) / seconds);
    }
    if (at >= last()) stop();
    else frame = requestAnimationFrame(run);
  }

  function start() {
    if (at >= last()) at = 0;
    playing = true;
    then = 0;
    play.textContent = "Pause";
    caption.setAttribute("aria-live", "off");
    draw();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(run);
    tell();
  }

  function stop() {
    if (!playing) return;
    playing = false;
    cancelAnimationFrame(frame);
    play.textContent = "Play";
    caption.setAttribute("aria-live", "polite");
    go(Math.round(at));
    if (!sameWindow()) build(); // the axes were held while it played
    tell();
  }

  function tell() {
    model.set("playing", playing);
    model.save_changes();
  }

  play.addEventListener("click", () => (playing ? stop() : start()));
  step.addEventListener("click", () => {
    const to = Math.floor(at + 1e-9) + 1;
    stop();
    go(to);
  });
  reset.addEventListener("click", () => {
    stop();
    go(0);
  });
  slider.addEventListener("input", () => {
    const to = Number(slider.value);
    stop();
    go(to);
  });
  slider.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    play.click();
  });

  // --- the points and the solves -----------------------------------------------------------------------------------

  let edits = new Map();
  let before = []; // changes by hand, to be undone
  let serial = 0; // of what Python has been told
  let telling = 0;
  let lifted = false; // while the pointer holds a point, Python's pictures wait
  let late = false;
  let following = 0;
  let found = null; // by least.js, of the present edits
  let ranks = new Map();
  let chosen = "gif"; // the method whose solve is shown
  let pointed = null;
  let solved = "";
  let raw = { view: null, columns: null };

  function columns() {
    const view = model.get("columns");
    if (raw.view !== view) raw = { view, columns: new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) };
    return raw.columns;
  }
  const feature = () => (model.get("feature") || picture.points.settings.indices[0] + 1) - 1;

  const pointsOf = pointsView(data, id, {
    points: () => picture.points,
    columns,
    edits: () => edits,
    change,
    undo,
    canUndo: () => before.length > 0,
    lift(on) {
      lifted = on;
      if (!on && late) arrive();
    },
    say: (words) => pointsOf.say(words),
    dash: (style) => picture.chart.dashes[style.dash],
    feature,
    choose(next) {
      model.set("feature", next === picture.points.settings.indices[0] ? 0 : next + 1);
      model.save_changes();
      pointsOf.build();
    },
    lines(column) {
      if (!found) return [];
      const means = along(found.means, at);
      return [...picture.chart.lines, ...picture.chart.levels].map(({ key, style }) => {
        const theta = along(found.everything[key], at);
        const rest = theta.reduce((sum, value, j) => sum + (j === column ? 0 : value * means[j]), 0);
        return { key, style, slope: theta[column], height: rest };
      });
    },
    gone: () => ({ count: picture.points.settings.group ? (at > 0 ? Infinity : 0) : picture.plane.positions[Math.floor(at + 1e-9)], ranks }),
  });

  const solveOf = solveView(solving, {
    name: `${id}-solve`,
    solves: () => picture.solves,
    caption: (place) => picture.plane.captions[place],
    methods: () => picture.plane.paths.filter(({ key }) => key !== "retrain").reverse(),
    chosen: (key) => choose(key),
  });

  function choose(key) {
    if (chosen === key) return;
    chosen = key;
    solveOf.methods(chosen);
    showSolve();
  }

  function showSolve() {
    const [method, place] = pointed ? [pointed.key, pointed.i] : [chosen, Math.round(at)];
    const what = `${method} ${place} ${Boolean(pointed)}`;
    if (what === solved) return;
    solved = what;
    solveOf.show(method, place, Boolean(pointed));
  }

  /** Redo by hand's changes what the picture says, without asking Python; axes and levels are held. */
  function follow() {
    following = 0;
    found = simulate(columns(), picture.points.settings, edits);
    if (!found) return pointsOf.refresh(); // singular: Python's answer comes
    const { plane: shown, chart } = picture;
    for (const path of shown.paths) path.points = path.line = found.paths[path.key];
    for (const mark of shown.landmarks) mark.points = found.landmarks[mark.key];
    shown.contours = shown.contours.map((rings, s) => rings.map(({ label }) => ({ ...found.ellipse(s, Number(label)), label })));
    if (!picture.points.settings.group) {
      shown.positions = found.removed;
      shown.captions = found.removed.map((count) => `${count} of ${found.leaving} outliers removed`);
    }
    for (const line of chart.lines) Object.assign(line, { x: shown.positions, values: found.measures[line.key] });
    for (const level of chart.levels) for (const key in level.values) level.values[key] = found.measures[level.key][key][shown.end];
    picture.solves = found.solves;
    rank();
    solved = "";
    for (const refresh of refreshers) refresh();
    draw();
    pointsOf.refresh();
  }
  const rank = () => {
    const { settings } = picture.points;
    const order = found ? found.order.slice(0, found.leaving) : Array.from({ length: settings.outliers }, (_, i) => i);
    ranks = new Map(order.map((index, i) => [index, i]));
  };

  /**
   * Change points by hand. words() says it; last: Python is told now, not in a moment; fresh: undone by itself.
   * Returns whether it can be.
   */
  function change(next, words, last, fresh = true) {
    const { settings } = picture.points;
    const { leaving } = leavingOrder(settings, next);
    const most = Math.floor(settings.count / 2);
    const wrong =
      leaving < 1 || leaving > most ? `That cannot be: at least 1 point must leave, at most ${most}, half of all.`
      : next.size > MOST_EDITS ? `That cannot be: at most ${MOST_EDITS} points may be changed by hand.`
      : "";
    if (wrong) {
      pointsOf.say(wrong);
      return false;
    }
    if (fresh) before = [...before.slice(-99), edits];
    edits = next;
    stop();
    if (!following) following = requestAnimationFrame(follow);
    if (words) pointsOf.say(`${words()} ${leaving} of ${settings.count} points leave.`.replace(/^Point (.*)\. (\d)/, "Point $1; $2"));
    if (last) tellEdits();
    else telling ||= setTimeout(tellEdits, 150);
    return true;
  }

  function undo() {
    if (!before.length) return pointsOf.say("Nothing to undo.");
    const next = before.at(-1);
    before = before.slice(0, -1);
    change(next, () => "Undone.", true, false);
  }

  function tellEdits() {
    clearTimeout(telling);
    telling = 0;
    model.set("hand", { serial: ++serial, edits: writeEdits(edits) });
    model.save_changes();
  }

  // --- life --------------------------------------------------------------------------------------------------------

  const wanted = () => (near && picture.plane.near) || picture.plane.window;
  const sameWindow = () => window_ && wanted().every((value, i) => value === window_[i]);

  let drawn = 0;
  function build() {
    const width = el.clientWidth;
    if (!width || !picture.plane) return;
    drawn = width;
    near = near && Boolean(picture.plane.near);
    if (!playing || !window_) window_ = wanted();
    movers = [];
    refreshers = [];
    solved = "";
    slider.max = last();
    at = Math.min(at, last());
    buildPlane();
    buildMeasures();
    buildReadout();
    for (const refresh of refreshers) refresh();
    if (!picture.plane.paths.some(({ key }) => key === chosen)) chosen = "gif";
    solveOf.methods(chosen);
    pointsOf.build();
    draw();
  }

  /** Take Python's picture; a copy, since points changed by hand are followed in it. */
  function adopt() {
    picture = structuredClone(model.get("picture"));
    if (!picture.plane) return;
    serial = Math.max(serial, picture.serial);
    const given = readEdits(picture.points.edits);
    if (writeEdits(given).join() !== writeEdits(edits).join()) before = []; // somebody else's changes
    edits = given;
    pointed = null;
    found = picture.points.editable ? simulate(columns(), picture.points.settings, edits) : null;
    rank();
  }

  let ended = true;
  const arrive = () => {
    const coming = model.get("picture");
    if (coming.plane && (telling || coming.serial < serial)) return; // older than what was changed by hand since
    late = lifted;
    if (lifted) return;
    ended = picture.plane ? at === picture.plane.end : true;
    adopt();
    if (!picture.plane) return;
    if (ended && !playing) at = picture.plane.end; // whoever looked at the result goes on looking at the result
    build();
  };
  model.on("change:picture", arrive);
  model.on("change:step", () => {
    const to = model.get("step") >= 0 ? model.get("step") : picture.plane?.end; // a link without a step: the end
    if (!saving && !playing && to >= 0 && to !== Math.round(at)) go(to);
  });
  const away = (event) => {
    if (!pointed || plane.contains(event.target)) return;
    pointed = null;
    plane.querySelector(".gd-pointed")?.setAttribute("visibility", "hidden");
    showSolve();
  };
  document.addEventListener("pointermove", away); // also where the plane was drawn anew under the pointer
  const resized = new ResizeObserver(() => {
    if (Math.abs(el.clientWidth - drawn) > 1) build();
  });
  resized.observe(el);
  caption.setAttribute("aria-live", "polite");
  adopt();
  if (picture.plane) at = model.get("step") >= 0 ? model.get("step") : picture.plane.end;
  build();
  return () => {
    playing = false;
    cancelAnimationFrame(frame);
    clearTimeout(saving);
    clearTimeout(telling);
    cancelAnimationFrame(following);
    document.removeEventListener("pointermove", away);
    resized.disconnect();
  };
}

export default { render };
