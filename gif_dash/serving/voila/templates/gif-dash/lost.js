// One sentence at the foot of the page when nothing behind it answers: its kernel has ended, the server was stopped or
// started again, or the connection was cut. See LifeHandler in gif_dash/serving/handlers.py.
(() => {
  const KEPT = "the settings stay, and finished results are stored.";
  const ENDED = `The program behind this page has ended, so its controls no longer answer. Reload to go on: ${KEPT}`;
  const RESTED = `Nobody touched this page for a long time, so it was put to rest. Reload it as it was: ${KEPT}`;
  const resting = (minutes) =>
    `Nobody has touched this page for a while. In ${minutes === "1" ? "a minute" : `${minutes} minutes`} it will be put to rest, so that others find a place.`;
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

  const tell = (text, name = "", act = () => location.reload()) => {
    const box = document.getElementById("gd-lost");
    if (box.hidden === !text && box.dataset.text === text) return;
    box.dataset.text = text;
    box.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (name) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.addEventListener("click", act);
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
    let idle = false;
    const listen = () => {
      const socket = new Plain(address);
      let over = false;
      socket.onmessage = ({ data }) => {
        const [word, minutes] = data.split(" ");
        if (word === "ended" || word === "rested") {
          over = true;
          tell(word === "rested" ? RESTED : ENDED, "Reload");
        } else if (word === "idle") {
          idle = true;
          missed = 0;
          tell(resting(minutes), "Stay", () => socket.send("stay"));
        } else if (idle) {
          idle = false;
          tell("");
        } else if (missed) {
          missed = 0;
          const well = () => tell("");
          if (connected()) well();
          else {
            opened.push(well);
            setTimeout(() => connected() || over || missed || tell(CUT, "Reload"), PATIENCE);
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
