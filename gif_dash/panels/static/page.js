// The page around the panels: names and roles, address line, theme, files. See gif_dash/panels/page.py.

const inVoila = () => document.body.dataset.voila !== undefined;

function isDark() {
  const lab = document.body.dataset.jpThemeLight;
  if (!inVoila() && lab !== undefined) return lab === "false";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The visible description of an ipywidgets control. */
function description(widget) {
  const label = widget.querySelector(":scope > label, :scope > .widget-label");
  return label ? label.textContent.trim() : "";
}

/** Give ipywidgets' and plotly's elements the names and roles that they lack. Idempotent. */
function name(root) {
  for (const widget of root.querySelectorAll(".jupyter-widgets")) {
    const text = description(widget);
    if (!text) continue;
    for (const part of widget.querySelectorAll("[role=slider], .noUi-handle, input, select, textarea")) {
      if (!part.hasAttribute("aria-label") && !part.labels?.length) part.setAttribute("aria-label", text);
    }
    const bar = widget.querySelector(".progress");
    if (bar) {
      bar.setAttribute("role", "progressbar");
      bar.setAttribute("aria-label", text);
    }
    if (widget.classList.contains("widget-toggle-buttons")) {
      widget.setAttribute("role", "group");
      widget.setAttribute("aria-label", text);
    }
  }
  for (const plot of root.querySelectorAll(".js-plotly-plot:not([role])")) {
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", plot.layout?.meta || "plot");
    setTimeout(() => window.dispatchEvent(new Event("resize")), 100); // it was drawn before it had its place
  }
  for (const panel of root.querySelectorAll(".gd-panel:not([role])")) {
    panel.setAttribute("role", "tabpanel");
    const title = [...panel.classList].find((item) => item.startsWith("gd-panel-"));
    if (title) panel.setAttribute("aria-labelledby", title.replace("gd-panel-", "gd-tab-"));
  }
  for (const notice of root.querySelectorAll(".gd-notice:not([role])")) notice.setAttribute("role", "alert");
}

function save(file, pieces) {
  const url = URL.createObjectURL(new Blob(pieces, { type: file.mime }));
  const link = Object.assign(document.createElement("a"), { href: url, download: file.name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Large files come in pieces, each asked for when the one before is here. See gif_dash/panels/transfer.py. */
function receive(model) {
  const files = new Map();
  const want = (file) => model.send({ do: "want", file: file.file, from: file.got });
  const hear = (message, buffers) => {
    if (message.do === "offer") {
      const file = { ...message, mime: "application/octet-stream", pieces: [], got: 0 };
      files.set(file.file, file);
      want(file);
    } else if (message.do === "piece") {
      const file = files.get(message.file);
      if (!file || message.from !== file.got) return; // another window's
      file.pieces.push(new Blob([buffers[0]])); // the browser may keep blobs on disk
      file.got += buffers[0].byteLength;
      if (file.got === file.size) {
        files.delete(file.file);
        save(file, file.pieces);
      }
      want(file); // at the end this says that everything is here
    } else if (message.do === "gone") {
      files.delete(message.file);
    }
  };
  model.on("msg:custom", hear);
  return () => model.off("msg:custom", hear);
}

/** Once per page, however many views of it there are. */
const initialize = ({ model }) => receive(model);

function render({ model, el }) {
  el.classList.add("gd-page");
  const undo = [];
  const listen = (target, event, handler) => {
    target.addEventListener(event, handler);
    undo.push(() => target.removeEventListener(event, handler));
  };

  const theme = () => {
    model.set("theme", isDark() ? "dark" : "light");
    model.save_changes();
  };
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", theme);
  const body = new MutationObserver(theme);
  body.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  undo.push(() => body.disconnect());
  theme();

  const follow = () => {
    const query = model.get("query");
    if (query && inVoila() && query !== location.search) {
      history.replaceState(history.state, "", location.pathname + query + location.hash);
    }
  };
  model.on("change:query", follow);
  follow();

  model.on("msg:custom", (message, buffers) => {
    if (message.do === "download") save(message, buffers);
    if (message.do === "failed") console.error(`gif_dash: ${message.message}`);
    if (message.do === "resize") setTimeout(() => window.dispatchEvent(new Event("resize")), 50);
  });

  // The widget is in the page only after render returns.
  requestAnimationFrame(() => {
    const root = el.closest(".gd-app") ?? document.body;
    if (inVoila()) root.setAttribute("role", "main"); // JupyterLab has landmarks of its own
    let planned = false;
    const plan = () => {
      if (planned) return;
      planned = true;
      requestAnimationFrame(() => {
        planned = false;
        name(root);
      });
    };
    // What changes at every step of a slider are texts and drawings: nothing among them needs a name.
    const watch = new MutationObserver((records) => {
      if (records.some((record) => [...record.addedNodes].some((node) => node instanceof HTMLElement))) plan();
    });
    watch.observe(root, { childList: true, subtree: true });
    undo.push(() => watch.disconnect());
    name(root);
    // JupyterLab's shortcuts (arrows, D D, …) must not see keys meant for our controls. Lumino looks for this mark on
    // the element that has the focus, before anything above it.
    listen(root, "focusin", (event) => (event.target.dataset.lmSuppressShortcuts = "true"));
  });
  return () => undo.forEach((step) => step());
}

export default { initialize, render };
