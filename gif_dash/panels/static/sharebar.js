// Copy a link, the Python lines, the command; save files. See gif_dash/panels/bars.py.

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard permission (plain http on another host): the old way through a selection.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function render({ model, el }) {
  el.classList.add("gd-sharebar");
  const inVoila = document.body.dataset.voila !== undefined; // JupyterLab's address is JupyterLab's
  const said = document.createElement("span");
  said.className = "gd-said gd-muted";
  said.setAttribute("role", "status");
  let timer;
  const say = (text) => {
    said.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => (said.textContent = ""), 4000 + 50 * text.length); // long enough to be read
  };
  const button = (text, help, click) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "gd-button gd-quiet";
    made.textContent = text;
    made.title = help;
    made.addEventListener("click", click);
    return made;
  };
  const copying = (what, text, more = "") => async () => say((await copy(text())) ? `${what} copied${more}` : "The browser refused to copy");
  const group = (title, ...buttons) => {
    const row = document.createElement("div");
    row.className = "gd-share-row";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", title);
    const head = document.createElement("span");
    head.className = "gd-muted";
    head.textContent = title;
    row.append(head, ...buttons);
    return row;
  };
  // An address of this very machine is of no use to anybody else: what to send them is said where it is copied.
  const alone = /^(localhost|127\.|\[::1\])/.test(location.hostname);
  const abroad = alone ? ". It leads to this machine; others put what begins with ? behind the address of their gif-dash, or take the Command" : "";
  const link = () => location.origin + location.pathname + model.get("query");
  const copies = [
    button("Python", "the lines that compute this", copying("Python lines", () => model.get("python"))),
    button("Command", "the command that computes this", copying("Command", () => model.get("command"))),
  ];
  if (model.get("yaml")) copies.push(button("YAML", "the settings as a file for gif-dash run --spec", copying("YAML", () => model.get("yaml"))));
  if (inVoila) copies.unshift(button("Link", "an address that restores this view", copying("Link", link, abroad)));
  el.append(group("Copy", ...copies));
  const files = {
    CSV: "the table",
    HTML: "figures and tables in one page that needs nothing else",
    PNG: "the figures as they are shown, as a picture",
    SVG: "the figures as they are shown, to be enlarged or edited",
  };
  const save = (name) => async () => {
    say(`Making the ${name} file`);
    if (name !== "PNG" && name !== "SVG") {
      model.send({ do: "file", name });
      return;
    }
    const tab = new URLSearchParams(model.get("query")).get("tab") ?? "figure";
    const about = `${model.get("command")}\n${model.get("query")}`;
    const saved = await savePicture(name, el.closest(".gd-panel"), `gif-dash-${tab}`, document.title, about);
    if (!saved) say("There is no figure to save yet");
  };
  el.append(group("Save", ...model.get("files").map((name) => button(name, files[name] ?? name, save(name)))), said);
}

export default { render };
