// One sentence at the foot of the page when nothing behind it answers: its kernel has ended, the server was stopped or
// started again, or the connection was cut. See LifeHandler in gif_dash/serving/handlers.py.
(() => {
  const KEPT = "the settings stay, and finished results are stored.";
  const ENDED = `The program behind this page has ended, so its controls no longer answer. Reload to go on: ${KEPT}`;
  const CUT = `The connection was cut for too long, so the controls no longer answer. Reload to go on: ${KEPT}`;
  const SILENT = `gif-dash does not answer: it was stopped, or the connection is cut. This page keeps trying; ${KEPT}`;
  const AGAIN = 2000; // milliseconds between two attempts to reach the server
  const PATIENCE = 8000; // milliseconds that the page's own connection gets to come back once the server answers again

  // JupyterLab's connection to the kernel gives up after some attempts without a word: it is watched from here
  let channels = null;
  const opened = [];
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(url, ...rest) {
      super(url, ...rest);
      if (!String(url).includes("/channels")) return;
      channels = this;
      this.addEventListener("open", () => opened.splice(0).forEach((then) => then()));
    }
  };
  const connected = () => channels === null || channels.readyState === Plain.OPEN;

  const tell = (text, reload = false) => {
    const box = document.getElementById("gd-lost");
    if (box.hidden === !text && box.dataset.text === text) return;
    box.dataset.text = text;
    box.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (reload) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Reload" });
      button.addEventListener("click", () => location.reload());
      box.append(button);
    }
    box.hidden = !text;
  };

  let begun = false;
  window.gifDashListen = (base) => {
    const config = document.getElementById("jupyter-config-data");
    if (begun || !config) return;
    begun = true;
    const address = new URL(`${base}voila/api/life/${JSON.parse(config.textContent).kernelId}`, location);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    let missed = 0;
    const listen = () => {
      const socket = new Plain(address);
      let over = false;
      socket.onmessage = ({ data }) => {
        if (data === "ended") {
          over = true;
          tell(ENDED, true);
        } else if (missed) {
          missed = 0;
          const well = () => tell("");
          if (connected()) well();
          else {
            opened.push(well);
            setTimeout(() => connected() || over || missed || tell(CUT, true), PATIENCE);
          }
        }
      };
      socket.onclose = () => {
        if (over) return;
        if (missed++) tell(SILENT); // not at once: a page that is being left closes its connections, too
        setTimeout(listen, missed > 1 ? AGAIN : 0);
      };
    };
    listen();
  };
})();
