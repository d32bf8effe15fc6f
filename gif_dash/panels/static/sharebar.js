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
    timer = setTimeout(() => (said.textContent = ""), 4000);
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
  const copying = (what, text) => async () => say((await copy(text())) ? `${what} copied` : "The browser refused to copy");
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
  const link = () => location.origin + location.pathname + model.get("query");
  const copies = [
    button("Python", "the lines that compute this", copying("Python lines", () => model.get("python"))),
    button("Command", "the command that computes this", copying("Command", () => model.get("command"))),
  ];
  if (inVoila) copies.unshift(button("Link", "an address that restores this view", copying("Link", link)));
  el.append(group("Copy", ...copies));
  const files = { CSV: "the table", HTML: "figures and tables in one page that needs nothing else" };
  const save = (name) => () => {
    model.send({ do: "file", name });
    say(`Making the ${name} file`);
  };
  el.append(group("Save", ...model.get("files").map((name) => button(name, files[name] ?? name, save(name)))), said);
}

export default { render };
