// What a panel shows as one picture that stands alone: an SVG with every style written out, or a PNG of it.
// Put before the code of the share bar (gif_dash/panels/bars.py). HTML around the drawings (captions, legends, cells,
// small images) becomes SVG too, so that any program can show it; nothing refers to anything outside.

const PICTURE_NS = "http://www.w3.org/2000/svg";
const PICTURE_MARGIN = 16;
const PICTURE_SCALE = 2; // pixels of a PNG for one of the page
/** What is for hands, or for reading beside the picture. */
const NOT_DRAWN =
  "input, select, textarea, output, script, style, .gd-button:not(:has(.gd-network-who)), .gd-toggle, .gd-scrub, .gd-stops, .gd-player, .gd-tip, .gd-readout, .gd-cells-head, .gd-network-head, .gd-cells-note, .gd-help, .gd-strip, .gd-tray, .gd-fold, .gd-words, .gd-line-bar, .gd-line-readout, .gd-line-live, .gd-line-equation, [hidden]";
const SHAPE_STYLES = [
  "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap",
  "stroke-linejoin", "stroke-miterlimit", "paint-order",
];
const TEXT_STYLES = ["font-family", "font-size", "font-weight", "font-style", "text-anchor", "dominant-baseline"];
/** What they are where nobody sets them; these are not written. */
const USUAL = {
  "fill-opacity": "1", "fill-rule": "nonzero", stroke: "none", "stroke-width": "1px", "stroke-opacity": "1", "stroke-dasharray": "none",
  "stroke-dashoffset": "0px", "stroke-linecap": "butt", "stroke-linejoin": "miter", "stroke-miterlimit": "4", "paint-order": "normal",
  "font-style": "normal", "font-weight": "400", "text-anchor": "start", "dominant-baseline": "auto",
};

const drawn = (tag, attributes = {}) => {
  const element = document.createElementNS(PICTURE_NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

/** Any CSS colour as [rgb(…), opacity], which every program understands. */
const plainColour = (() => {
  const known = new Map();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return (colour) => {
    if (!known.has(colour)) {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = "#000";
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
      known.set(colour, [`rgb(${red},${green},${blue})`, alpha / 255]);
    }
    return known.get(colour);
  };
})();

const ascent = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (style) => {
    context.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const { fontBoundingBoxAscent: above, fontBoundingBoxDescent: below } = context.measureText("x");
    return [above, above + below];
  };
})();

const places = (value) => Number(value.toFixed(2));

function paint(style, name) {
  const value = style.getPropertyValue(name);
  if ((name === "fill" || name === "stroke") && value !== "none" && !value.startsWith("url(")) {
    const [colour, alpha] = plainColour(value);
    return alpha === 0 ? "none" : colour;
  }
  return value;
}

/** A drawing of the page with the styles of every part written out. */
function standaloneDrawing(source) {
  const copy = source.cloneNode(true);
  const visit = (from, to) => {
    const style = getComputedStyle(from);
    if (style.display === "none" || from.tagName === "foreignObject") {
      to.remove();
      return;
    }
    const text = /^(text|tspan|textPath)$/.test(from.tagName);
    const leaf = text || /^(path|line|rect|circle|ellipse|polygon|polyline|use)$/.test(from.tagName);
    for (const { name } of [...to.attributes]) {
      if (/^(class|style|role|tabindex|cursor)$|^(aria-|data-|on)/.test(name)) to.removeAttribute(name);
    }
    for (const name of [...(leaf ? SHAPE_STYLES : []), ...(text ? TEXT_STYLES : [])]) {
      const value = paint(style, name);
      to.removeAttribute(name);
      if (value && value !== USUAL[name]) to.setAttribute(name, name.startsWith("font-family") ? value.replaceAll('"', "'") : value);
    }
    if (leaf) {
      for (const name of ["fill", "stroke"]) {
        const [, alpha] = /^(none|url)/.test(style.getPropertyValue(name)) ? ["", 1] : plainColour(style.getPropertyValue(name));
        if (alpha > 0 && alpha < 1) to.setAttribute(`${name}-opacity`, places(alpha * Number(style.getPropertyValue(`${name}-opacity`))));
      }
    }
    if (style.opacity !== "1") to.setAttribute("opacity", style.opacity);
    if (style.visibility === "hidden") to.setAttribute("visibility", "hidden");
    if (style.clipPath.startsWith("url(")) to.setAttribute("clip-path", style.clipPath.replace(/url\(["']?[^"')]*#([^"')]+)["']?\)/, "url(#$1)"));
    [...from.children].map((child, place) => [child, to.children[place]]).forEach(([child, own]) => visit(child, own));
  };
  visit(source, copy);
  return copy;
}

/** Lines of a text as they stand on the page. */
function textLines(node) {
  const range = document.createRange();
  const lines = [];
  for (const match of node.data.matchAll(/\S+/g)) {
    range.setStart(node, match.index);
    range.setEnd(node, match.index + match[0].length);
    const [box] = range.getClientRects();
    if (!box || !box.width) continue;
    const line = lines.at(-1);
    if (line && Math.abs(line.box.top - box.top) < 2) line.words.push(match[0]);
    else lines.push({ box, words: [match[0]] });
  }
  return lines;
}

function background(element, style, box, put) {
  const [colour, alpha] = plainColour(style.backgroundColor);
  const [edge, edgeAlpha] = plainColour(style.borderTopColor);
  const framed = style.borderTopStyle !== "none" && style.borderLeftStyle !== "none" && parseFloat(style.borderTopWidth) > 0 && edgeAlpha > 0;
  if (alpha > 0 || framed) {
    const rect = drawn("rect", { fill: alpha > 0 ? colour : "none" });
    if (alpha < 1 && alpha > 0) rect.setAttribute("fill-opacity", places(alpha));
    if (framed) rect.setAttribute("stroke", edge);
    const round = parseFloat(style.borderTopLeftRadius);
    if (round) rect.setAttribute("rx", round);
    const inset = framed ? 0.5 : 0;
    put(rect, box.left + inset, box.top + inset, box.width - 2 * inset, box.height - 2 * inset);
  } else if (style.borderBottomStyle === "solid" && parseFloat(style.borderBottomWidth) > 0 && plainColour(style.borderBottomColor)[1] > 0) {
    const wide = parseFloat(style.borderBottomWidth);
    put(drawn("rect", { fill: plainColour(style.borderBottomColor)[0] }), box.left, box.bottom - wide, box.width, wide);
  }
  // Bars are gradients of one colour, as wide as their part; a key is one from left to right.
  const bar = style.backgroundImage.match(/^linear-gradient\(((?:rgba?|color|oklab)\([^)]*\))(?: 0%)?, \1(?: 100%)?\)$/);
  if (bar) {
    const [part, high] = style.backgroundSize.split(" ").map((size, axis) => (size.endsWith("%") ? ((axis ? box.height : box.width) * parseFloat(size)) / 100 : parseFloat(size)));
    const [fill, visible] = plainColour(bar[1]);
    if (visible && part > 0) put(drawn("rect", { fill }), box.left, box.bottom - high, part, high);
  }
  const key = style.backgroundImage.match(/^linear-gradient\(to right, ((?:rgba?|color|oklab)\([^)]*\)), ((?:rgba?|color|oklab)\([^)]*\))\)$/);
  if (key) {
    const parts = 24; // as bars side by side: a gradient would have to be referred to
    const ends = key.slice(1).map((end) => plainColour(end)[0].match(/\d+/g).map(Number));
    for (let part = 0; part < parts; part++) {
      const fill = `rgb(${ends[0].map((low, channel) => Math.round(low + ((ends[1][channel] - low) * part) / (parts - 1)))})`;
      put(drawn("rect", { fill }), box.left + (box.width * part) / parts, box.top, box.width / parts + 0.5, box.height);
    }
  }
}

function imageData(image) {
  if (image.src.startsWith("data:")) return image.src;
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL();
}

/** All that is seen below an element, as SVG elements, with the box that they fill. */
function pieces(root) {
  const found = [];
  const bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  const grow = (left, top, right, bottom) => {
    bounds.left = Math.min(bounds.left, left);
    bounds.top = Math.min(bounds.top, top);
    bounds.right = Math.max(bounds.right, right);
    bounds.bottom = Math.max(bounds.bottom, bottom);
  };
  const put = (element, x, y, width, height) => {
    for (const [name, value] of Object.entries({ x, y, width, height })) element.setAttribute(name, places(value));
    found.push(element);
    grow(x, y, x + width, y + height);
  };
  const visit = (element) => {
    if (element.matches(NOT_DRAWN)) return;
    const style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden" || style.opacity === "0") return;
    const box = element.getBoundingClientRect();
    const seen = box.width > 0 && box.height > 0;
    if (element.tagName === "svg") {
      if (!seen) return;
      const copy = standaloneDrawing(element);
      if (!copy.getAttribute("viewBox")) copy.setAttribute("viewBox", `0 0 ${places(box.width)} ${places(box.height)}`);
      copy.setAttribute("overflow", "visible");
      put(copy, box.left, box.top, box.width, box.height);
      return;
    }
    if (element.tagName === "IMG" || element.tagName === "CANVAS") {
      if (!seen) return;
      const image = drawn("image", { href: element.tagName === "IMG" ? imageData(element) : element.toDataURL() });
      if (style.imageRendering === "pixelated") image.setAttribute("style", "image-rendering:pixelated");
      put(image, box.left, box.top, box.width, box.height);
      return;
    }
    if (seen) background(element, style, box, put);
    for (const child of element.childNodes) {
      if (child.nodeType === Node.ELEMENT_NODE) visit(child);
      if (child.nodeType !== Node.TEXT_NODE || !child.data.trim()) continue;
      const [above, high] = ascent(style);
      for (const line of textLines(child)) {
        const [fill] = plainColour(style.color);
        const y = line.box.top + (line.box.height - high) / 2 + above;
        const text = drawn("text", {
          x: places(line.box.left), y: places(y), fill, "font-family": style.fontFamily.replaceAll('"', "'"), "font-size": style.fontSize,
        });
        if (style.fontWeight !== "400") text.setAttribute("font-weight", style.fontWeight);
        text.textContent = line.words.join(" ");
        found.push(text);
        grow(line.box.left, line.box.top, line.box.left, line.box.bottom);
      }
    }
  };
  visit(root);
  return { found, bounds };
}

/** The widgets of a panel that draw something, in their order on the page. */
function figuresOf(panel) {
  const places = [...panel.querySelectorAll(".gd-results > *, .gd-history-below > *")];
  const drawing = (element) =>
    [...element.querySelectorAll("svg")].some((one) => one.getBoundingClientRect().width > 60) ||
    element.querySelector(".gd-cell, .gd-network-bar, .gd-imagebox img, .gd-spectra-place *") !== null;
  return places.filter((element) => !element.matches(".gd-fold, .gd-hidden") && element.offsetParent !== null && drawing(element));
}

/** One SVG of all figures of a panel, one below the other; null if there is none. */
function standaloneSvg(panel, title, about) {
  const parts = figuresOf(panel).map(pieces).filter((part) => part.found.length && part.bounds.right > part.bounds.left);
  if (!parts.length) return null;
  const left = Math.min(...parts.map((part) => part.bounds.left));
  const width = Math.ceil(Math.max(...parts.map((part) => part.bounds.right)) - left + 2 * PICTURE_MARGIN);
  const root = drawn("svg", { xmlns: PICTURE_NS, version: "1.1" });
  const words = drawn("title");
  words.textContent = title;
  const description = drawn("desc");
  description.textContent = about;
  const ground = drawn("rect", { x: 0, y: 0, width: "100%", height: "100%", fill: plainColour(getComputedStyle(panel.closest(".gd-app") ?? document.body).backgroundColor)[0] });
  root.append(words, description, ground);
  let top = PICTURE_MARGIN;
  for (const { found, bounds } of parts) {
    const group = drawn("g", { transform: `translate(${places(PICTURE_MARGIN - left)},${places(top - bounds.top)})` });
    group.append(...found);
    root.append(group);
    top += bounds.bottom - bounds.top + PICTURE_MARGIN;
  }
  const height = Math.ceil(top);
  root.setAttribute("width", width);
  root.setAttribute("height", height);
  root.setAttribute("viewBox", `0 0 ${width} ${height}`);
  return { text: new XMLSerializer().serializeToString(root), width, height };
}

async function pngOf({ text, width, height }) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: width * PICTURE_SCALE, height: height * PICTURE_SCALE });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done) => canvas.toBlob(done, "image/png"));
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

function saveBlob(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Save the figures of the panel as "PNG" or "SVG"; false if there is nothing to save. */
async function savePicture(kind, panel, name, title, about) {
  const made = panel && standaloneSvg(panel, title, about);
  if (!made) return false;
  const svg = new Blob([`<?xml version="1.0" encoding="UTF-8"?>\n${made.text}\n`], { type: "image/svg+xml" });
  saveBlob(`${name}.${kind.toLowerCase()}`, kind === "SVG" ? svg : await pngOf(made));
  return true;
}

