// Line charts in facets over one horizontal axis, with a marker that a slider moves over all of them at once.
// Everything the marker needs is here: moving it asks nobody. See gif_dash/figures/chart.py for the description drawn.

const SVG = "http://www.w3.org/2000/svg";
const STEPS = 400; // places of the slider right of zero
const SPACE = { left: 52, right: 10, top: 8, bottom: 22 };
const INNER = 172; // height of a plot without its axis
const TITLE = 17; // height of the axis title

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function svg(tag, className = "", attributes = {}, text) {
  const element = document.createElementNS(SVG, tag);
  if (className) element.setAttribute("class", className);
  for (const [key, value] of Object.entries(attributes)) if (value !== "") element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

const known = (value) => value !== null && value !== undefined;

/** Places of a line that have a band, cut where there is none; every run has at least two. As chart.runs in Python. */
function runs(line, key) {
  const [low, high] = [line.low?.[key], line.high?.[key]];
  const found = [[]];
  for (let place = 0; low && high && place < line.x.length; place++) {
    if (known(low[place]) && known(high[place])) found.at(-1).push(place);
    else if (found.at(-1).length) found.push([]);
  }
  return found.filter((run) => run.length > 1);
}

/** Half the height of a band that is even on both sides, as the end of a read-out; else nothing. */
function spread(line, key, place, decimals) {
  const [low, value, high] = [line.low?.[key]?.[place], line.values[key]?.[place], line.high?.[key]?.[place]];
  if (!known(low) || !known(high) || !known(value) || Math.abs(low + high - 2 * value) > 1e-6 * (high - low)) return "";
  return high > low ? ` ± ${number((high - low) / 2, decimals)}` : "";
}

const css = (style) => (style.colour === style.dark ? style.colour : `light-dark(${style.colour}, ${style.dark})`);

/** Position on an axis as a share 0…1 of its length. */
function share(axis, value, zeroShare) {
  if (axis.scale === "linear") return (value - axis.low) / (axis.high - axis.low);
  const place = Math.log(Math.max(value, 1e-300) / axis.low) / Math.log(axis.high / axis.low);
  if (axis.scale === "log") return place;
  return value <= 0 ? 0 : zeroShare + (1 - zeroShare) * place;
}

function ticks(axis) {
  if (axis.scale === "linear") {
    const rough = (axis.high - axis.low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
    const found = [];
    for (let value = Math.ceil(axis.low / step) * step; value <= axis.high * (1 + 1e-9); value += step) found.push(value);
    return found.map((value) => [value, String(Number(value.toPrecision(6)))]);
  }
  const low = Math.ceil(Math.log10(axis.low) - 1e-9);
  const high = Math.floor(Math.log10(axis.high) + 1e-9);
  const every = Math.max(1, Math.ceil((high - low) / 6));
  const found = axis.scale === "zero-log" ? [[0, "0"]] : [];
  for (let power = low; power <= high; power++) {
    if ((power - low) % every === 0) found.push([10 ** power, powerText(power)]);
  }
  if (high - low > 1) return found;
  // Hardly a decade: 2 and 5 help.
  for (let power = low - 1; power <= high; power++) {
    for (const factor of [2, 5]) {
      const value = factor * 10 ** power;
      if (value >= axis.low * 0.999 && value <= axis.high * 1.001) found.push([value, String(Number(value.toPrecision(3)))]);
    }
  }
  return found.sort(([one], [other]) => one - other);
}

const superscript = (power) => String(power).replace(/[-\d]/g, (sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻");
const powerText = (power) => (power >= -2 && power <= 3 ? String(Number(`1e${power}`)) : `10${superscript(power)}`);

function number(value, decimals) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || (decimals > 0 && Math.abs(value) < 0.5 * 10 ** -decimals))) {
    const [mantissa, power] = value.toExponential(1).split("e");
    return `${mantissa}·10${superscript(Number(power))}`.replace("-", "−");
  }
  return value.toFixed(decimals).replace("-", "−");
}

const short = (value) => (value === 0 ? "0" : value >= 1e5 ? number(value, 0) : String(Number(value.toPrecision(3))));

/** Index of the computed point nearest to a position (logarithmic distance; 0 only for 0). As chart.nearest in Python. */
function nearest(x, position) {
  let best = -1;
  let least = Infinity;
  x.forEach((value, place) => {
    if (position > 0 && value <= 0) return;
    const distance = position > 0 ? Math.abs(Math.log(value / position)) : Math.abs(value);
    if (distance < least) [best, least] = [place, distance];
  });
  return best < 0 ? 0 : best;
}

function swatch(style, chart) {
  const picture = svg("svg", "gd-swatch", { width: 28, height: 14, viewBox: "0 0 28 14", "aria-hidden": "true" });
  const stroke = svg("path", "", { d: "M1,7H27", "stroke-dasharray": chart.dashes[style.dash] });
  stroke.style.cssText = `fill:none;stroke:${css(style)};stroke-width:${style.width}`;
  picture.append(stroke);
  if (style.marker) {
    const marker = svg("path", "", { transform: "translate(14,7)", d: chart.markers[style.marker] });
    marker.style.fill = css(style);
    picture.append(marker);
  }
  return picture;
}

// Every widget has a copy of this module, the page has one numbering: labels and clips find their own by it.
const fresh = () => (globalThis.gdViews = (globalThis.gdViews ?? 0) + 1);

function render({ model, el }) {
  const id = `gd-chart-${fresh()}`;
  el.classList.add("gd-chart");
  const legend = make("ul", "gd-legend", { "aria-label": "Legend" });
  const facets = make("div", "gd-facets", { role: "group" });
  const slider = make("input", "", { type: "range", id: `${id}-slider`, min: 0, max: STEPS, step: 1 });
  slider.dataset.lmSuppressShortcuts = "true";
  const sliderLabel = make("label", "", { for: `${id}-slider` });
  const value = make("output", "", { for: `${id}-slider`, "aria-live": "off" }); // the slider says its value itself
  const stops = make("div", "gd-stops", { role: "group", "aria-label": "Places for the marker" });
  const scrub = make("div", "gd-scrub", {}, sliderLabel, slider, value);
  const readout = make("div", "gd-scroll gd-readout", { tabindex: 0, role: "region" });
  el.append(legend, facets, scrub, stops, readout);

  let chart = model.get("chart");
  let movers = []; // one function per facet and per row of the read-out: (position) => void
  let position = model.get("position");
  let saving = 0;

  const linearPlace = (x) => (STEPS * (x - chart.x.low)) / (chart.x.high - chart.x.low);
  const toPlace = (x) => (chart.x.scale === "linear" ? linearPlace(x) : x <= 0 ? 0 : 1 + ((STEPS - 1) * Math.log(x / chart.x.low)) / Math.log(chart.x.high / chart.x.low));
  const toX = (place) => {
    if (chart.x.scale === "linear") return chart.x.low + ((chart.x.high - chart.x.low) * place) / STEPS;
    if (place <= 0 && chart.x.scale === "zero-log") return 0;
    return Number((chart.x.low * (chart.x.high / chart.x.low) ** ((place - 1) / (STEPS - 1))).toPrecision(3));
  };

  const draw = () => {
    for (const mover of movers) mover(position);
    value.textContent = `${chart.symbol} = ${short(position)}`;
    slider.setAttribute("aria-valuetext", value.textContent);
  };
  const move = (to, fromSlider) => {
    position = to;
    if (!fromSlider) slider.value = Math.round(toPlace(to));
    draw();
    if (saving) return;
    saving = setTimeout(() => {
      saving = 0;
      model.set("position", position);
      model.save_changes();
    }, 60);
  };
  slider.addEventListener("input", () => move(toX(Number(slider.value)), true));

  function facet(quantity, width, titled) {
    const height = SPACE.top + INNER + SPACE.bottom + (titled ? TITLE : 0);
    const caption = make("figcaption", "", {}, quantity.title);
    if (quantity.note) caption.append(" ", make("span", "gd-muted", {}, quantity.note));
    const tip = make("div", "gd-tip");
    tip.hidden = true;
    const picture = svg("svg", "", { height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    picture.setAttribute("aria-label", `${quantity.title} against ${chart.x.title}; the values are in the table below`);
    const figure = make("figure", "gd-facet", {}, caption, picture, tip);
    figure.dataset.quantity = quantity.key;
    const inner = { width: width - SPACE.left - SPACE.right, height: INNER };
    const px = (x) => SPACE.left + inner.width * share(chart.x, x, chart.zero_share);
    // Where positions are few, the lines' points stand side by side.
    const gap = chart.points ? Math.min(8, (0.5 * inner.width) / (8 * Math.max(1, chart.lines.length))) : 0;
    const aside = (line) => gap * (chart.lines.indexOf(line) - (chart.lines.length - 1) / 2);
    const py = (y) => SPACE.top + inner.height * (1 - Math.min(3, Math.max(-3, share(quantity.axis, y, 0))));
    const bottom = SPACE.top + inner.height;
    const right = SPACE.left + inner.width;

    const clip = svg("clipPath", "", { id: `${id}-clip-${quantity.key}` });
    clip.append(svg("rect", "", { x: SPACE.left - 6, y: SPACE.top - 6, width: inner.width + 12, height: inner.height + 12 }));
    picture.append(clip);
    for (const [y, text] of ticks(quantity.axis)) {
      picture.append(svg("line", "gd-gridline", { x1: SPACE.left, x2: right, y1: py(y), y2: py(y) }));
      picture.append(svg("text", "", { x: SPACE.left - 7, y: py(y) + 4, "text-anchor": "end" }, text));
    }
    let free = -Infinity; // a label is left out where it would touch the one before
    for (const [x, text] of ticks(chart.x)) {
      picture.append(svg("line", "gd-axis", { x1: px(x), x2: px(x), y1: bottom, y2: bottom + 4 }));
      const half = 3.5 * text.length;
      if (px(x) - half < free) continue;
      free = px(x) + half + 4;
      picture.append(svg("text", "", { x: px(x), y: bottom + 16, "text-anchor": "middle" }, text));
    }
    picture.append(svg("path", "gd-axis", { d: `M${SPACE.left},${SPACE.top}V${bottom}H${right}` }));
    if (chart.x.scale === "zero-log") {
      // Two strokes where the scale jumps from zero to its first decade.
      const gap = SPACE.left + inner.width * chart.zero_share * 0.5;
      picture.append(svg("path", "gd-axis", { d: `M${gap - 4},${bottom + 4}l4,-8m2,8l4,-8` }));
    }
    if (titled) {
      picture.append(svg("text", "", { x: (SPACE.left + right) / 2, y: height - 4, "text-anchor": "middle" }, chart.x.title));
    }
    const plot = svg("g", "", { "clip-path": `url(#${id}-clip-${quantity.key})` });
    picture.append(plot);

    for (const level of chart.levels) {
      const y = level.values[quantity.key];
      if (y === null || y === undefined) continue;
      const [low, high] = [level.low[quantity.key], level.high[quantity.key]];
      if (low !== undefined && low !== null && high > low) {
        const band = svg("rect", "gd-band", { x: SPACE.left, width: inner.width, y: py(high), height: py(low) - py(high) });
        band.style.fill = css(level.style);
        plot.append(band);
      }
      const line = svg("line", "gd-level", { x1: SPACE.left, x2: right, y1: py(y), y2: py(y), "stroke-dasharray": chart.dashes[level.style.dash] });
      line.style.cssText = `stroke:${css(level.style)};stroke-width:${level.style.width}`;
      line.dataset.line = level.key;
      plot.append(line);
    }
    for (const mark of chart.marks) {
      const line = svg("line", "gd-mark", { x1: px(mark.x), x2: px(mark.x), y1: SPACE.top, y2: bottom });
      line.style.stroke = mark.style ? css(mark.style) : "var(--gd-muted)";
      line.append(svg("title", "", {}, mark.label));
      plot.append(line);
    }
    const curve = (line, ghost) => {
      const group = svg("g", ghost ? "gd-ghost" : "gd-line");
      group.dataset.line = line.key;
      const shift = ghost ? 0 : aside(line);
      let path = "";
      let pen = "M";
      line.x.forEach((x, place) => {
        const y = line.values[quantity.key]?.[place];
        if (y === null || y === undefined) {
          pen = "M";
          return;
        }
        path += `${pen}${(px(x) + shift).toFixed(1)},${py(y).toFixed(1)}`;
        pen = "L";
      });
      const stroke = svg("path", "", { d: path, "stroke-dasharray": chart.dashes[line.style.dash], "stroke-linejoin": "round" });
      stroke.style.cssText = `fill:none;stroke:${css(line.style)};stroke-width:${line.style.width}`;
      group.append(stroke);
      if (chart.points && !ghost) points(line, group, shift);
      plot.append(group);
    };
    const points = (line, group, shift) => {
      line.x.forEach((x, place) => {
        const y = line.values[quantity.key]?.[place];
        if (!known(y)) return;
        const [low, high] = [line.low?.[quantity.key]?.[place], line.high?.[quantity.key]?.[place]];
        const at = px(x) + shift;
        if (known(low) && known(high)) {
          const bar = svg("path", "gd-whisker", { d: `M${at},${py(low)}V${py(high)}M${at - 3},${py(low)}h6M${at - 3},${py(high)}h6` });
          bar.style.cssText = `fill:none;stroke:${css(line.style)};stroke-width:1.4`;
          group.append(bar);
        }
        const marker = svg("path", "", { d: chart.markers[line.style.marker] ?? chart.markers.circle, transform: `translate(${at},${py(y)})` });
        marker.style.fill = css(line.style);
        group.append(marker);
      });
    };
    for (const line of chart.points ? [] : chart.lines) {
      for (const run of runs(line, quantity.key)) {
        const end = (ends, place) => `${px(line.x[place]).toFixed(1)},${py(ends[quantity.key][place]).toFixed(1)}`;
        const outline = [...run.map((place) => end(line.high, place)), ...[...run].reverse().map((place) => end(line.low, place))];
        const band = svg("path", "gd-band", { d: `M${outline.join("L")}Z` });
        band.style.fill = css(line.style);
        band.dataset.line = line.key;
        plot.append(band);
      }
    }
    for (const line of chart.ghosts) curve(line, true);
    for (const line of chart.lines) curve(line, false);

    const cursor = svg("line", "gd-cursor", { y1: SPACE.top, y2: bottom });
    plot.append(cursor);
    const dots = chart.lines.map((line) => {
      const dot = svg("path", "gd-dot", { d: chart.markers[line.style.marker] ?? chart.markers.circle });
      dot.style.fill = css(line.style);
      dot.dataset.line = line.key;
      plot.append(dot);
      return dot;
    });
    movers.push((x) => {
      cursor.setAttribute("x1", px(x));
      cursor.setAttribute("x2", px(x));
      chart.lines.forEach((line, place) => {
        const index = nearest(line.x, x);
        const y = line.values[quantity.key]?.[index];
        const none = y === null || y === undefined;
        dots[place].style.visibility = none ? "hidden" : "visible";
        if (!none) dots[place].setAttribute("transform", `translate(${px(line.x[index]) + aside(line)},${py(y)})`);
      });
    });

    // Pointing at the plot reads values; pressing moves the marker there.
    const xAt = (event) => {
      const box = picture.getBoundingClientRect();
      const along = (((event.clientX - box.left) / box.width) * width - SPACE.left) / inner.width;
      if (chart.x.scale === "linear") return chart.x.low + Math.min(1, Math.max(0, along)) * (chart.x.high - chart.x.low);
      const zero = chart.x.scale === "zero-log" ? chart.zero_share : 0;
      if (zero && along < zero / 2) return 0;
      const ratio = Math.min(1, Math.max(0, (along - zero) / (1 - zero)));
      return Number((chart.x.low * (chart.x.high / chart.x.low) ** ratio).toPrecision(3));
    };
    picture.addEventListener("pointerdown", (event) => {
      picture.setPointerCapture(event.pointerId);
      move(xAt(event));
    });
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const x = xAt(event);
      if (event.buttons & 1) move(x);
      const at = ((event.clientY - box.top) / box.height) * height;
      let best = null;
      for (const line of chart.lines) {
        const index = nearest(line.x, x);
        const y = line.values[quantity.key]?.[index];
        if (y === null || y === undefined) continue;
        const distance = Math.abs(py(y) - at);
        if (!best || distance < best.distance) best = { distance, line, y, x: line.x[index], index };
      }
      tip.hidden = !best;
      if (!best) return;
      const unit = quantity.unit ? ` ${quantity.unit}` : "";
      tip.textContent = `${best.line.label}: ${number(best.y, quantity.decimals)}${spread(best.line, quantity.key, best.index, quantity.decimals)}${unit} at ${chart.symbol} = ${short(best.x)}`;
      const left = (px(best.x) / width) * box.width;
      tip.style.left = `${Math.min(left + 10, box.width - tip.offsetWidth - 4)}px`;
      tip.style.top = `${picture.offsetTop + py(best.y) - 34}px`;
    });
    picture.addEventListener("pointerleave", () => (tip.hidden = true));
    return figure;
  }

  function table() {
    const head = make("tr", "", {}, make("td"), make("th", "gd-num", { scope: "col" }, `computed at ${chart.symbol}`));
    for (const quantity of chart.quantities) {
      head.append(make("th", "gd-num", { scope: "col" }, quantity.unit ? `${quantity.title}, ${quantity.unit}` : quantity.title));
    }
    const body = make("tbody");
    const row = (item) => {
      const name = make("th", "", { scope: "row" }, swatch(item.style, chart), make("span", "gd-method", {}, item.label));
      const cells = [null, ...chart.quantities].map(() => make("td", "gd-num", {}, "–"));
      const made = make("tr", "", {}, name, ...cells);
      made.dataset.line = item.key;
      body.append(made);
      return cells;
    };
    for (const line of chart.lines) {
      const cells = row(line);
      movers.push((x) => {
        if (!line.x.length) return;
        const index = nearest(line.x, x);
        cells[0].textContent = short(line.x[index]);
        chart.quantities.forEach((quantity, place) => {
          const width = spread(line, quantity.key, index, quantity.decimals);
          cells[place + 1].textContent = number(line.values[quantity.key]?.[index], quantity.decimals) + width;
        });
      });
    }
    for (const level of chart.levels) {
      const cells = row(level);
      chart.quantities.forEach((quantity, place) => {
        cells[place + 1].textContent = number(level.values[quantity.key], quantity.decimals);
      });
    }
    const caption = make("span", "gd-table-caption");
    movers.push((x) => (caption.textContent = `At ${chart.symbol} = ${short(x)}, the nearest computed point of each method`));
    const made = make("table", "gd-table", {}, make("caption", "", {}, caption), make("thead", "", {}, head), body);
    readout.replaceChildren(made);
  }

  let drawn = 0;
  function build() {
    chart = model.get("chart");
    const empty = !chart.quantities;
    for (const part of [legend, facets, scrub, stops, readout]) part.hidden = empty;
    if (empty) return;
    const width = el.clientWidth;
    if (!width) return;
    drawn = width;
    movers = [];
    facets.setAttribute("aria-label", chart.title);
    readout.setAttribute("aria-label", `${chart.title}: values at the marker`);
    const plots = chart.quantities.filter((quantity) => quantity.axis);
    const columns = width >= 560 && plots.length > 1 ? 2 : 1;
    const each = (width - 24 * (columns - 1)) / columns;
    facets.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    legend.replaceChildren(
      ...[...chart.lines, ...chart.levels].map((item) => make("li", "", {}, swatch(item.style, chart), make("span", "", {}, item.label))),
      ...(chart.bands ? [make("li", "gd-muted", {}, chart.bands)] : []),
      ...(chart.ghosts.length ? [make("li", "gd-muted", {}, "faint: the run before")] : []),
    );
    facets.replaceChildren(...plots.map((quantity, place) => facet(quantity, each, place >= plots.length - columns)));
    sliderLabel.textContent = chart.x.title;
    // Named places that a click takes the marker to.
    const focused = stops.contains(document.activeElement) ? document.activeElement.textContent : null;
    stops.replaceChildren(
      ...chart.marks.map((mark) => {
        const button = make("button", "gd-button gd-quiet", { type: "button" });
        if (mark.style) button.append(swatch(mark.style, chart));
        button.append(mark.label);
        button.addEventListener("click", () => move(mark.x));
        return button;
      }),
    );
    if (focused !== null) ([...stops.children].find((button) => button.textContent === focused) ?? slider).focus({ preventScroll: true });
    table();
    slider.value = Math.round(toPlace(position));
    draw();
  }

  const resized = new ResizeObserver(() => {
    if (Math.abs(el.clientWidth - drawn) > 1) build();
  });
  resized.observe(el);
  model.on("change:chart", build);
  model.on("change:position", () => {
    if (saving || model.get("position") === position) return;
    position = model.get("position");
    slider.value = Math.round(toPlace(position));
    draw();
  });
  build();
  return () => {
    resized.disconnect();
    clearTimeout(saving);
  };
}

export default { render };
