// Test pictures, each without and with the trigger, and what every network says to them at the marker's position.
// See gif_dash/figures/backdoor.py for the content shown.

const SMALL = 40; // pixels up to which a picture is shown as pixels

function make(tag, className = "", attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Index of the computed point nearest to a position (logarithmic distance; 0 only for 0). As chart.nearest in Python. */
function nearest(x, position) {
  let best = 0;
  let least = Infinity;
  x.forEach((value, place) => {
    if (position > 0 && value <= 0) return;
    const distance = position > 0 ? Math.abs(Math.log(value / position)) : Math.abs(value);
    if (distance < least) [best, least] = [place, distance];
  });
  return best;
}

const short = (value) => String(Number(value.toPrecision(3)));

function render({ model, el }) {
  el.classList.add("gd-answers");
  let movers = [];

  function build() {
    const content = model.get("content");
    el.replaceChildren();
    movers = [];
    if (!content.pictures) return;
    const { classes, target, pictures, networks } = content;
    const named = (place) => classes[place] ?? (place < 0 ? "not finite" : String(place));
    const caption = make("caption", "", {}, content.title);
    const head = make("tr", "", {}, make("th", "", { scope: "col" }, "shows"));
    for (const picture of pictures) {
      head.append(make("th", "", { scope: "col", title: named(picture.label) }, make("bdi", "gd-name", {}, named(picture.label))));
    }
    head.append(make("th", "", { scope: "col" }, "right"));
    const table = make("table", "", {}, caption, make("thead", "", {}, head));

    for (const [kind, title] of [["clean", "without trigger"], ["triggered", "with trigger"]]) {
      const body = make("tbody");
      const images = make("tr", "gd-images", {}, make("th", "", { scope: "row" }, title));
      for (const picture of pictures) {
        const image = make("img", "", { src: picture[kind], alt: `${named(picture.label)}, ${title}` });
        image.addEventListener("load", () => image.classList.toggle("gd-pixels", image.naturalWidth <= SMALL));
        images.append(make("td", "", {}, image));
      }
      images.append(make("td"));
      body.append(images);
      for (const network of networks) {
        const name = make("th", "", { scope: "row" });
        name.innerHTML = network.name;
        const at = make("span", "gd-muted");
        name.append(" ", at);
        const cells = pictures.map(() => make("td"));
        const count = make("td", "gd-num");
        body.append(make("tr", "", {}, name, ...cells, count));
        movers.push((position) => {
          const index = nearest(network.scalars, position);
          if (network.scalars.length > 1) at.textContent = `s = ${short(network.scalars[index])}`;
          let right = 0;
          pictures.forEach((picture, place) => {
            const said = network[kind][index][place];
            const state = said === picture.label ? "right" : said === target ? "fooled" : "wrong";
            if (state === "right") right += 1;
            const cell = cells[place];
            cell.dataset.state = state;
            cell.title = `says ${named(said)}; it shows ${named(picture.label)}`;
            const sign = { right: "✓", fooled: "⚑", wrong: "✗" }[state];
            const words = { right: "right", fooled: "the corrupt label", wrong: "wrong" }[state];
            cell.replaceChildren(
              make("bdi", "gd-name", {}, named(said)),
              make("span", "gd-sign", { role: "img", "aria-label": words }, sign),
            );
          });
          count.textContent = `${right}/${pictures.length}`;
        });
      }
      table.append(body);
    }
    const box = make("div", "gd-scroll", { tabindex: 0, role: "region", "aria-label": content.title }, table);
    el.append(box, make("p", "gd-help", {}, content.key));
    move();
  }

  const move = () => {
    for (const mover of movers) mover(model.get("position"));
  };
  model.on("change:content", build);
  model.on("change:position", move);
  build();
}

export default { render };
