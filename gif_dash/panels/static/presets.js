// A row of presets: each sets the form, and says in two sentences what it teaches and where to look.

function render({ model, el }) {
  el.classList.add("gd-presets");
  const row = document.createElement("div");
  row.className = "gd-preset-row";
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Presets");
  const words = document.createElement("p");
  words.className = "gd-help";
  words.setAttribute("aria-live", "polite");
  const title = document.createElement("span");
  title.className = "gd-label";
  title.textContent = "Presets";
  el.append(title, row, words);
  const buttons = model.get("presets").map((preset) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "gd-button gd-preset";
    button.textContent = preset.title;
    button.title = preset.teaches;
    button.addEventListener("click", () => model.send({ do: "preset", name: preset.name }));
    row.append(button);
    return { button, preset };
  });
  const show = () => {
    const active = model.get("active");
    let said = "Settings of your own. Each preset sets all of them, and clears what was changed by hand.";
    for (const { button, preset } of buttons) {
      button.setAttribute("aria-pressed", String(preset.name === active));
      if (preset.name === active) said = `${preset.teaches} Look: ${preset.look}`;
    }
    if (words.textContent !== said) words.textContent = said;
  };
  model.on("change:active", show);
  show();
}

export default { render };
