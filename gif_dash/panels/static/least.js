// The closed forms of gif_dash/toy.py in the browser, for the moments in which a point is being dragged: from the
// points and the settings to trajectories, contours and solves. A test holds both to each other. No numbers of its own.

const SIZE = 6; // five weights and the bias
const NAMES = ["x1", "x2", "x3", "x4", "x5", "y"];

/** Changes by hand from their spelling: a map from position to {moved: {column: value}, removed: true, false or null}. */
function readEdits(texts) {
  const found = new Map();
  for (const text of texts) {
    const [index, ...parts] = text.split(":");
    const change = { moved: {}, removed: null };
    if (parts.at(-1) === "out" || parts.at(-1) === "in") change.removed = parts.pop() === "out";
    for (let k = 0; k < parts.length; k += 2) change.moved[NAMES.indexOf(parts[k])] = Number(parts[k + 1]);
    found.set(Number(index), change);
  }
  return found;
}

function writeEdits(edits) {
  return [...edits]
    .sort(([a], [b]) => a - b)
    .filter(([, change]) => Object.keys(change.moved).length || change.removed !== null)
    .map(([index, { moved, removed }]) => {
      const parts = Object.keys(moved).sort().flatMap((column) => [NAMES[column], String(moved[column])]);
      return [index, ...parts, ...(removed === null ? [] : [removed ? "out" : "in"])].join(":");
    });
}

/** Half to even, as numpy rounds. */
function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** Positions in the order in which the points leave, those that stay after them; and how many leave. */
function leavingOrder(settings, edits) {
  const [out, stay] = [[], []];
  for (let i = 0; i < settings.count; i++) {
    const given = edits.get(i)?.removed;
    ((given ?? null) === null ? i < settings.outliers : given) ? out.push(i) : stay.push(i);
  }
  return { order: [...out, ...stay], leaving: out.length };
}

/** Solves A x = b for a positive definite matrix (array of rows); null where it is not. */
function solveSymmetric(matrix, b) {
  const n = b.length;
  const l = matrix.map((row) => [...row]);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i][j];
      for (let k = 0; k < j; k++) sum -= l[i][k] * l[j][k];
      if (i === j) {
        if (!(sum > 1e-12 * matrix[i][i])) return null;
        l[i][i] = Math.sqrt(sum);
      } else l[i][j] = sum / l[j][j];
    }
  }
  const x = [...b];
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= l[i][k] * x[k];
    x[i] /= l[i][i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= l[k][i] * x[k];
    x[i] /= l[i][i];
  }
  return x;
}

/** The x of least |A x - b| for a matrix of two columns, given as two vectors; Gram–Schmidt, each step done twice. */
function leastSquares(first, second, b) {
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const less = (u, v, c) => u.map((value, i) => value - c * v[i]);
  const r11 = Math.sqrt(dot(first, first));
  const q1 = first.map((value) => value / r11);
  let r12 = 0;
  let rest = second;
  for (let k = 0; k < 2; k++) {
    const part = dot(q1, rest);
    r12 += part;
    rest = less(rest, q1, part);
  }
  const r22 = Math.sqrt(dot(rest, rest));
  if (!(r22 > 1e-12 * (r11 + r22))) return null;
  const c1 = dot(q1, b);
  const x2 = dot(rest, less(b, q1, c1)) / r22 / r22;
  return [(c1 - r12 * x2) / r11, x2];
}

const times = (matrix, x) => matrix.map((row) => row.reduce((sum, value, i) => sum + value * x[i], 0));
const scaled = (matrix, by) => matrix.map((row) => row.map((value) => value * by));
const plus = (a, b, by = 1) => a.map((value, i) => value + by * b[i]);
const norm = (x) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

/**
 * All that moves with the points; null where a system is singular (then Python's answer is waited for).
 *
 * columns: Float64Array of 6·count numbers, five features and the target, one column after the other, as drawn.
 * settings: see figures/toy_points.py. edits: a map, see readEdits.
 */
function simulate(columns, settings, edits) {
  const { count, indices: J, group } = settings;
  const { order, leaving } = leavingOrder(settings, edits);
  let table = columns;
  if (edits.size) {
    table = columns.slice();
    for (const [index, { moved }] of edits) for (const column in moved) table[column * count + index] = moved[column];
  }
  const cuts = group ? [0, leaving] : Array.from({ length: settings.removals + 1 }, (_, i) => roundEven(i * (leaving / settings.removals)));
  cuts[cuts.length - 1] = leaving;

  // Sums over the blocks between the cuts, added up from the end: nothing is subtracted.
  const sums = [];
  let sum = { gram: Array.from({ length: SIZE }, () => Array(SIZE).fill(0)), moment: Array(SIZE).fill(0), square: 0, n: 0 };
  const row = new Float64Array(SIZE);
  const packed = new Float64Array(28);
  for (let s = cuts.length - 1; s >= 0; s--) {
    const end = s + 1 < cuts.length ? cuts[s + 1] : count;
    packed.fill(0);
    for (let k = cuts[s]; k < end; k++) {
      const i = order[k];
      for (let j = 0; j < 5; j++) row[j] = table[j * count + i];
      row[5] = 1;
      const y = table[5 * count + i];
      let at = 0;
      for (let a = 0; a < SIZE; a++) {
        for (let b = 0; b <= a; b++) packed[at++] += row[a] * row[b];
        packed[21 + a] += row[a] * y;
      }
      packed[27] += y * y;
    }
    let at = 0;
    const gram = sum.gram.map((line) => [...line]);
    for (let a = 0; a < SIZE; a++) {
      for (let b = 0; b <= a; b++) {
        gram[a][b] += packed[at++];
        gram[b][a] = gram[a][b];
      }
    }
    const moment = sum.moment.map((value, a) => value + packed[21 + a]);
    sums[s] = sum = { gram, moment, square: sum.square + packed[27], n: count - cuts[s] };
  }

  const risks = sums.map(({ gram, moment, square, n }) => {
    const optimum = solveSymmetric(gram, moment);
    if (!optimum) return null;
    const hessian = scaled(gram, 2 / n);
    const least = (square - moment.reduce((total, value, i) => total + value * optimum[i], 0)) / n;
    const gradient = (theta) => plus(times(hessian, theta), moment, -2 / n);
    return { hessian, optimum, least, gradient, means: gram[5].map((value) => value / n) };
  });
  if (risks.includes(null)) return null;
  const start = risks[0].optimum;

  const change = (method, hessian, g) => {
    if (method === "pif") {
      const x = solveSymmetric(hessian, g);
      return x && J.map((j) => x[j]);
    }
    if (method === "gif") return leastSquares(hessian.map((line) => line[J[0]]), hessian.map((line) => line[J[1]]), g);
    return solveSymmetric(J.map((i) => J.map((j) => hessian[i][j])), J.map((j) => g[j]));
  };
  const placed = (part) => {
    const whole = Array(SIZE).fill(0);
    J.forEach((j, i) => (whole[j] = part[i]));
    return whole;
  };

  const nothing = Array(SIZE).fill(0);
  const [paths, gradients, changes, moved, expansion] = [{}, {}, {}, {}, {}];
  const scalar = group
    ? Array.from({ length: Math.ceil(settings.largest * settings.removals) + 1 }, (_, i) => i / settings.removals)
    : cuts.map(() => 1);
  const share = leaving / count;
  for (const method of ["gif", "fif", "pif"]) {
    moved[method] = J;
    if (group) {
      const g = risks[1].gradient(start).map((value) => -value);
      const x = change(method, risks[1].hessian, g);
      if (!x) return null;
      [gradients[method], changes[method]] = [[g], [placed(x)]];
    } else {
      [paths[method], gradients[method], changes[method]] = [[start], [nothing], [nothing]];
      for (let s = 1; s < cuts.length; s++) {
        const g = risks[s].gradient(paths[method][s - 1]).map((value) => -value);
        const x = change(method, risks[s].hessian, g);
        if (!x) return null;
        gradients[method].push(g);
        changes[method].push(placed(x));
        paths[method].push(plus(paths[method][s - 1], placed(x)));
      }
    }
  }
  if (group && settings.expansions) {
    // Sums over those that leave, from the points: no difference of large numbers.
    const all = risks[0].hessian;
    const inner = Array.from({ length: SIZE }, () => Array(SIZE).fill(0));
    const outer = Array(SIZE).fill(0);
    for (let k = 0; k < leaving; k++) {
      for (let j = 0; j < 5; j++) row[j] = table[j * count + order[k]];
      row[5] = 1;
      let residual = -table[5 * count + order[k]];
      for (let j = 0; j < SIZE; j++) residual += row[j] * start[j];
      for (let a = 0; a < SIZE; a++) {
        for (let b = 0; b < SIZE; b++) inner[a][b] += row[a] * row[b];
        outer[a] += row[a] * residual;
      }
    }
    const inside = scaled(inner, 2 / leaving);
    const gradient = outer.map((value) => (2 * value) / leaving);
    const solved = solveSymmetric(all, gradient);
    const first = solved.map((value) => (value * leaving) / (count - leaving));
    const image = solveSymmetric(all, times(inside, first));
    Object.assign(expansion, { all, group: inside, gradient, solved, first, image });
    changes.koh = [solved.map((value) => share * value)];
    changes.if2 = [plus(first, plus(first, image, -1), -share / (1 - share))];
    gradients.koh = gradients.if2 = [gradient];
    moved.koh = moved.if2 = [0, 1, 2, 3, 4, 5];
  }
  if (group) for (const method in changes) paths[method] = scalar.map((s) => plus(start, changes[method][0], s));

  const at = (s) => risks[group ? 1 : s];
  const steps = scalar.map((_, s) => s);
  const measured = (path) => {
    const values = { distance_plane: [], distance_full: [], loss: [], gradient_norm: [], weight_first: [], weight_second: [] };
    path.forEach((theta, s) => {
      const { hessian, optimum, least } = at(s);
      const away = plus(theta, optimum, -1);
      const slope = times(hessian, away);
      values.distance_plane.push(norm(J.map((j) => away[j])));
      values.distance_full.push(norm(away));
      values.loss.push(least + away.reduce((total, value, i) => total + value * slope[i], 0) / 2);
      values.gradient_norm.push(norm(slope));
      values.weight_first.push(theta[J[0]]);
      values.weight_second.push(theta[J[1]]);
    });
    return values;
  };
  const everything = { ...paths, original: steps.map(() => start), retrain: steps.map((s) => at(s).optimum) };
  const measures = Object.fromEntries(Object.entries(everything).map(([name, path]) => [name, measured(path)]));
  const pair = (theta) => J.map((j) => theta[j]);
  const once = group ? [0] : steps;
  const slices = once.map((s) => {
    const { hessian, gradient } = at(s);
    const x = change("fif", hessian, gradient(start).map((value) => -value));
    if (!x) return null;
    const [a, b, c] = [hessian[J[0]][J[0]], hessian[J[0]][J[1]], hessian[J[1]][J[1]]];
    const spread = Math.hypot((a - c) / 2, b);
    return { at: plus(pair(start), x), low: (a + c) / 2 - spread, high: (a + c) / 2 + spread, angle: Math.atan2(2 * b, a - c) / 2 + Math.PI / 2 };
  });
  if (slices.includes(null)) return null;
  return {
    leaving,
    order,
    removed: group ? scalar.map(() => leaving) : cuts,
    scalar,
    everything,
    means: steps.map((s) => at(s).means),
    measures,
    paths: Object.fromEntries(Object.entries(everything).map(([name, path]) => [name, path.map(pair)])),
    landmarks: { start: [pair(start)], plane_optimum: slices.map((slice) => slice.at), full_optimum: once.map((s) => pair(at(s).optimum)) },
    /** Contours at a height above the least loss in the plane. */
    ellipse: (s, excess) => {
      const slice = slices[Math.min(s, slices.length - 1)];
      return { x: slice.at[0], y: slice.at[1], major: Math.sqrt((2 * excess) / slice.low), minor: Math.sqrt((2 * excess) / slice.high), angle: slice.angle };
    },
    solves: {
      hessian: group ? [risks[1].hessian] : risks.map((risk) => risk.hessian),
      gradients,
      changes,
      moved,
      factors: Object.fromEntries(Object.keys(changes).map((method) => [method, [1]])),
      expansion,
      share,
      start,
      scalar,
      indices: J,
      group,
      published: false,
      paths: Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, path.map(pair)])),
    },
  };
}
