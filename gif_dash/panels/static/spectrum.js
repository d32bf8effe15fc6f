// Bars of all eigenvalues: HTML made in Python (gif_dash/figures/spectrum.py), with a style sheet of its own.

function render({ model, el }) {
  el.classList.add("gd-spectra-place");
  const draw = () => {
    el.innerHTML = model.get("html");
  };
  model.on("change:html", draw);
  draw();
}

export default { render };
