// The equation of one method at one step, with the numbers that fill it. MathML, no outside script.

const MATH = "http://www.w3.org/1998/Math/MathML";

function math(tag, ...children) {
  const element = document.createElementNS(MATH, tag);
  element.append(...children);
  return element;
}

const mi = (text) => math("mi", text);
const mo = (text) => math("mo", text);
const mn = (text) => math("mn", text);
const row = (...children) => math("mrow", ...children);
const sub = (base, below) => math("msub", typeof base === "string" ? mi(base) : base, typeof below === "string" ? mi(below) : below);
const inverse = (base) => math("msup", base, row(mo("−"), mn("1")));
const bracket = (...children) => row(mo("["), ...children, mo("]"));
const gap = () => {
  const space = math("mspace");
  space.setAttribute("width", "0.2em");
  return space;
};
const norm_ = (...children) => row(gap(), mo("‖"), ...children, mo("‖"));

const columnsOf = (part) => row(mo(":"), mi(part));
const SYMBOLS = {
  hessian: () => mi("H"),
  block: () => sub("H", "JJ"),
  columns: () => sub("H", columnsOf("J")),
  all: () => sub("H", "D"),
  inside: () => sub("H", "U"),
  g: () => mi("g"),
  gJ: () => sub("g", "J"),
  gU: () => sub("g", "U"),
  x: () => sub("Δ", "J"),
  whole: () => mi("Δ"),
  first: () => sub("Δ", math("mn", "1")),
};
const STANDS = {
  gif: "GIF: the change that leaves the least total gradient",
  fif: "FIF: the least loss while the other weights stay",
  pif: "PIF: solve for all, keep the target weights",
  koh: "IF: first order in the share q = m/N that leaves",
  if2: "IF2: second order in the share q = m/N that leaves",
};

/** Three digits, and no more than seven characters. */
const digits = (value) => (Math.abs(value) >= 1000 ? value.toExponential(1).replace("+", "").replace("-", "−") : number(value));

/** A matrix or a column whose cells can be filled, its symbol below it; rows of `bold` are those of J. */
function table(rows, columns, symbol, bold = []) {
  const cells = [];
  const body = math("mtable");
  for (let i = 0; i < rows; i++) {
    const line = math("mtr");
    if (bold.includes(i)) line.setAttribute("class", "gd-in-j");
    for (let j = 0; j < columns; j++) {
      const cell = mn("");
      cells.push(cell);
      line.append(math("mtd", cell));
    }
    body.append(line);
  }
  const fill = (values) =>
    values.flat().forEach((value, i) => {
      const text = digits(value);
      if (cells[i].textContent !== text) cells[i].textContent = text;
    });
  return { body, fill, under: (wrapped = body) => math("munder", wrapped, symbol) };
}

function value() {
  const cell = mn("");
  return { cell, fill: (given) => (cell.textContent = digits(given)) };
}

/** host: where it goes; hooks: solves() of the picture, caption(step), methods() as [{key, label, style}], chosen(key). */
function solveView(host, hooks) {
  const heading = make("h3", "", {}, "The solve at this step");
  const choice = make("div", "gd-toggle gd-solve-methods", { role: "radiogroup", "aria-label": "Method whose solve is shown" });
  const about = make("p", "gd-solve-about");
  const symbols = make("div", "gd-solve-symbols");
  const numbers = make("div", "gd-scroll gd-solve-numbers", { tabindex: "0", role: "group", "aria-label": "The equation with its numbers" });
  const legend = make("p", "gd-help");
  host.replaceChildren(make("div", "gd-solve-head", {}, heading, choice), about, symbols, numbers, legend);
  let form = "";
  let fill = () => {};

  const shown = (root, ...children) => root.replaceChildren(...children.map((each) => math("math", each)));

  function build(method, solves) {
    const [J, moved] = [solves.indices, solves.moved[method]];
    const step = solves.published ? [mi("c"), mo("·")] : [];
    const factor = value();
    const before = table(2, 1, sub(mi("θ"), "J"));
    const after = table(2, 1, mi(""));
    const part = table(2, 1, SYMBOLS.x());
    const scale = value();
    const lead = solves.published ? [math("munder", factor.cell, mi("c")), mo("·")] : [];
    const fills = [];
    let formula;
    let filled;
    const pick = (matrix, rows, columns) => rows.map((i) => columns.map((j) => matrix[i][j]));
    const all = [0, 1, 2, 3, 4, 5];
    if (method === "fif") {
      const [block, g] = [table(2, 2, SYMBOLS.block()), table(2, 1, SYMBOLS.gJ())];
      formula = row(SYMBOLS.x(), mo("="), ...step, inverse(SYMBOLS.block()), SYMBOLS.gJ());
      filled = row(...lead, block.under(inverse(block.body)), g.under(), mo("="), part.under());
      fills.push(({ hessian, g: right }) => (block.fill(pick(hessian, J, J)), g.fill(J.map((j) => right[j]))));
    } else if (method === "gif") {
      const [block, g] = [table(6, 2, SYMBOLS.columns()), table(6, 1, SYMBOLS.g(), J)];
      const least = () => math("munder", mi("argmin"), mi("x"));
      formula = row(SYMBOLS.x(), mo("="), ...step, least(), norm_(SYMBOLS.columns(), mi("x"), mo("−"), mi("g")));
      filled = row(...lead, least(), norm_(block.under(), mi("x"), mo("−"), g.under()), mo("="), part.under());
      fills.push(({ hessian, g: right }) => (block.fill(pick(hessian, all, J)), g.fill(right)));
    } else if (method === "pif") {
      const kept = moved.length > 2 ? all.slice(0, 5) : null; // as published PIF moves all five weights
      const whole = table(6, 6, SYMBOLS.hessian());
      const g = table(6, 1, SYMBOLS.g());
      const result = kept ? table(5, 1, mi("Δ"), J) : part;
      formula = row(kept ? mi("Δ") : SYMBOLS.x(), mo("="), ...step, math("msub", bracket(inverse(mi("H")), mi("g")), kept ? row(mn("1"), mo("…"), mn("5")) : mi("J")));
      filled = row(...lead, math("msub", bracket(whole.under(inverse(whole.body)), g.under()), kept ? row(mn("1"), mo("…"), mn("5")) : mi("J")), mo("="), result.under());
      fills.push(({ hessian, g: right, change }) => (whole.fill(hessian), g.fill(right), kept && result.fill(kept.map((j) => change[j]))));
    } else {
      const [whole, g, result] = [table(6, 6, SYMBOLS.all()), table(6, 1, SYMBOLS.gU()), table(6, 1, mi("Δ"), J)];
      if (method === "koh") {
        formula = row(mi("Δ"), mo("="), mi("q"), inverse(SYMBOLS.all()), SYMBOLS.gU());
        filled = row(math("munder", factor.cell, mi("q")), whole.under(inverse(whole.body)), g.under(), mo("="), result.under());
        fills.push(({ change, share }) => (result.fill(change), factor.fill(share)));
      } else {
        const [first, second, third] = [0, 1, 2].map(() => table(6, 1, SYMBOLS.first()));
        const image = table(6, 1, row(inverse(SYMBOLS.all()), SYMBOLS.inside(), SYMBOLS.first()));
        const [ratio, also] = [value(), value()];
        const odds = () => math("mfrac", mi("q"), row(mn("1"), mo("−"), mi("q")));
        const symbol = row(SYMBOLS.first(), mo("="), odds(), inverse(SYMBOLS.all()), SYMBOLS.gU(), mo(","));
        formula = row(symbol, mi("Δ"), mo("="), SYMBOLS.first(), mo("−"), odds(), mo("("), SYMBOLS.first(), mo("−"), inverse(SYMBOLS.all()), SYMBOLS.inside(), SYMBOLS.first(), mo(")"));
        filled = [
          row(math("munder", ratio.cell, odds()), whole.under(inverse(whole.body)), g.under(), mo("="), first.under()),
          row(second.under(), mo("−"), math("munder", also.cell, odds()), mo("("), third.under(), mo("−"), image.under(), mo(")"), mo("="), result.under()),
        ];
        fills.push(({ change, share, expansion }) => {
          for (const each of [first, second, third]) each.fill(expansion.first);
          image.fill(expansion.image);
          result.fill(change);
          for (const each of [ratio, also]) each.fill(share / (1 - share));
        });
      }
      fills.push(({ expansion, g: right }) => (whole.fill(expansion.all), g.fill(right)));
    }
    const prime = math("msubsup", mi("θ"), mi("J"), mo("′"));
    const again = table(2, 1, SYMBOLS.x());
    fills.push(({ x }) => again.fill(x));
    const times = solves.group ? [math("munder", scale.cell, mi("s")), mo("·")] : [];
    const moves = row(before.under(), mo("+"), ...times, again.under(), mo("="), math("munder", after.body, prime));
    fills.push(({ x, from, to, s, c }) => (part.fill(x), before.fill(from), after.fill(to), scale.fill(s), solves.published && factor.fill(c)));
    shown(symbols, formula);
    shown(numbers, ...(Array.isArray(filled) ? filled : [filled]), moves);
    fill = (given) => fills.forEach((each) => each(given));
  }

  /** Show a method at a step. */
  function show(method, step, preview) {
    const solves = hooks.solves();
    const { indices: J, group } = solves;
    const key = JSON.stringify([method, group, solves.published, J]);
    if (key !== form) {
      form = key;
      build(method, solves);
      const names = J.map((j) => `weight ${j + 1}`).join(" and ");
      legend.textContent = {
        koh: `H of all points, the gradient g of those that leave; rows: weights 1 to 5, bias; J, in bold: ${names}.`,
        if2: `H of all points (D) and of those that leave (U); rows: weights 1 to 5, bias; J, in bold: ${names}.`,
      }[method] ?? `H and g = −∇L of the points that stay; rows: weights 1 to 5, bias; J: ${names}.`;
      if (solves.published) legend.textContent = `As published: H of the points that stay, g the mean gradient of those that have just left, c = m/(1.04·N)${method === "pif" ? "/10" : ""}; J: ${names}.`;
    }
    const where = Math.min(step, solves.hessian.length - 1);
    const path = solves.paths[method];
    const nothing = !group && step === 0;
    about.textContent = `${preview ? "Pointed at: " : ""}${STANDS[method]}. ${hooks.caption(step)}.${nothing ? " Nothing has left yet: nothing to solve." : ""}`;
    symbols.hidden = numbers.hidden = nothing;
    if (nothing) return;
    const change = solves.changes[method][where];
    fill({
      hessian: solves.hessian[where],
      g: solves.gradients[method][where],
      change,
      x: J.map((j) => change[j]),
      from: path[group ? 0 : step - 1],
      to: path[step],
      s: solves.scalar[step],
      c: solves.factors[method][Math.min(where, solves.factors[method].length - 1)],
      share: solves.share,
      expansion: solves.expansion,
    });
  }

  function methods(chosen) {
    choice.replaceChildren(
      ...hooks.methods().map(({ key, label, style }) => {
        const input = make("input", "", { type: "radio", name: hooks.name, value: key });
        input.checked = key === chosen;
        input.addEventListener("change", () => hooks.chosen(key));
        const text = make("span", "", {}, label);
        text.style.color = `color-mix(in srgb, ${css(style)} 60%, var(--gd-text))`;
        return make("label", "", {}, input, text);
      }),
    );
  }

  return { show, methods };
}
