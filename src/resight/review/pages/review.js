"use strict";
// Two pictures that zoom and move together, lines between points that fit, keys, dialogs, a box to draw; the next screen comes in the place of this one.
(() => {
  let pair, panes, over, says, view, points, resized;
  const LOOKED_AT_MS = 400; // before two pictures are matched: whoever presses the next key sooner did not look for lines
  let lines = true;
  let ahead = []; // held, so that the browser keeps them

  const place = (pane) => {
    // pixel of the crop -> pixel of the pane
    const img = pane.querySelector("img");
    if (!img) return null;
    const w = Number(img.getAttribute("width")) || img.naturalWidth, h = Number(img.getAttribute("height")) || img.naturalHeight;
    if (!w || !h) return null;
    const W = pane.clientWidth, H = pane.clientHeight;
    const k = Math.min(W / w, H / h) * view.zoom;
    return { img, k, w, h, left: W / 2 - (w * k) / 2 + view.x * W, top: H / 2 - (h * k) / 2 + view.y * H };
  };

  const draw = () => {
    if (!pair) return;
    const at = panes.map(place);
    at.forEach((p) => {
      if (!p) return;
      p.img.style.width = `${p.w}px`;
      p.img.style.height = `${p.h}px`;
      p.img.style.transform = `translate(${p.left}px, ${p.top}px) scale(${p.k})`;
    });
    over.replaceChildren();
    if (!lines || !at[0] || !at[1]) return;
    const make = (name, values) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
      over.append(element);
    };
    const inside = (pane, x, y) => x >= 0 && y >= 0 && x <= pane.clientWidth && y <= pane.clientHeight;
    for (const [xa, ya, xb, yb] of points) {
      const ends = [[xa, ya], [xb, yb]].map(([x, y], n) => [at[n].left + (x + 0.5) * at[n].k, at[n].top + (y + 0.5) * at[n].k]);
      const seen = ends.map(([x, y], n) => inside(panes[n], x, y));
      const there = ends.map(([x, y], n) => [x + panes[n].offsetLeft, y + panes[n].offsetTop]);
      if (seen[0] && seen[1]) make("line", { x1: there[0][0], y1: there[0][1], x2: there[1][0], y2: there[1][1] });
      there.forEach(([x, y], n) => seen[n] && make("circle", { cx: x, cy: y, r: 3 }));
    }
  };

  const zoom = (factor) => {
    const before = view.zoom;
    view.zoom = Math.min(12, Math.max(1, view.zoom * factor));
    view.x *= view.zoom / before;
    view.y *= view.zoom / before;
    if (view.zoom === 1) view.x = view.y = 0;
    draw();
  };
  const move = (x, y) => { view.x += x; view.y += y; draw(); };

  const follow = (pane) => {
    let from = null;
    const img = pane.querySelector("img");
    if (img && !img.complete) img.addEventListener("load", draw);
    pane.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8); }, { passive: false });
    pane.addEventListener("dblclick", () => zoom(2));
    pane.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; pane.setPointerCapture(event.pointerId); });
    pane.addEventListener("pointermove", (event) => {
      if (!from) return;
      move((event.clientX - from[0]) / pane.clientWidth, (event.clientY - from[1]) / pane.clientHeight);
      from = [event.clientX, event.clientY];
    });
    pane.addEventListener("pointerup", () => { from = null; });
    pane.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [0.08, 0], ArrowRight: [-0.08, 0], ArrowUp: [0, 0.08], ArrowDown: [0, -0.08] };
      if (event.key === "+" || event.key === "=") zoom(1.25);
      else if (event.key === "-") zoom(0.8);
      else if (moves[event.key] && view.zoom > 1) move(...moves[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  };

  const show = (found) => {
    points = found.points;
    if (!found.tried) says.textContent = "Whether points fit one pattern was not tried: no lines.";
    else if (!found.n_fit) says.textContent = "No points fit one pattern: no lines.";
    else says.textContent = `${found.n_fit} points fit.`;
    draw();
  };
  const startPair = () => {
    pair = document.getElementById("pair");
    panes = pair ? [...pair.querySelectorAll(".pane")] : [];
    over = pair ? pair.querySelector(".over") : null;
    says = document.getElementById("points-line");
    view = { zoom: 1, x: 0, y: 0 }; // how far both pictures are moved, as a share of the pane
    points = [];
    if (resized) resized.disconnect();
    if (!pair) return;
    panes.forEach(follow);
    resized = new ResizeObserver(draw);
    resized.observe(pair);
    const asked = pair;
    const { left, right } = pair.dataset;
    if (pair.dataset.points) {
      const found = JSON.parse(pair.dataset.points);
      points = found.points;
      draw();
    } else if (left && right) {
      says.textContent = "Comparing …";
      new Promise((done) => setTimeout(done, LOOKED_AT_MS))
        .then(() => (pair === asked ? fetch(`/points/${encodeURIComponent(left)}/${encodeURIComponent(right)}`) : Promise.reject()))
        .then((answer) => (answer.ok ? answer.json() : Promise.reject()))
        .then((found) => { if (pair === asked) show(found); })
        .catch(() => { if (pair === asked) says.textContent = "These two cannot be compared."; });
    }
    document.getElementById("zoom-in").addEventListener("click", () => zoom(1.5));
    document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
    const button = document.getElementById("lines");
    const pressed = () => button.setAttribute("aria-pressed", String(lines));
    pressed();
    button.addEventListener("click", () => { lines = !lines; pressed(); draw(); });
  };

  // ---- pictures of the next screen, read while this one is looked at
  const readAhead = () => {
    const main = document.querySelector("[data-ahead]");
    ahead = (main ? main.dataset.ahead.split(" ").filter(Boolean) : []).map((address) => {
      const picture = new Image();
      picture.src = address;
      return picture;
    });
  };

  // ---- dialogs
  const open = (name) => {
    const dialog = document.getElementById(name);
    if (!dialog) return;
    dialog.showModal();
    const field = dialog.querySelector("input:not([type=hidden]), select");
    if (field) { field.focus(); if (field.select) field.select(); }
    if (name === "crop") prepareBox();
  };
  const startDialogs = () => {
    document.querySelectorAll("[data-dialog]").forEach((button) => button.addEventListener("click", () => open(button.dataset.dialog)));
    document.querySelectorAll("dialog .close").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
    document.querySelectorAll("dialog select").forEach((list) => list.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && list.value) { event.preventDefault(); list.form.requestSubmit(); }
    }));
  };

  // ---- the next screen in the place of this one: a browser takes longer to set up a page than to fill it
  let sent = false; // a second press of the key must not send a form again, nor act on a screen that is about to go
  let leaving = false; // for another page: a request that ends because of that has not failed
  let putAt = -Infinity;
  const NOT_SEEN_MS = 300; // whoever acts sooner meant the screen before
  const MOST_WAIT_MS = 20000;
  const isUnseen = () => performance.now() - putAt < NOT_SEEN_MS;
  const program = (of) => [...of.querySelectorAll("script[src], link[rel=stylesheet]")].map((part) => part.getAttribute("src") || part.getAttribute("href")).join(" ");
  const encounter = (of) => of.querySelector("[data-encounter]")?.dataset.encounter;
  const put = (page, address, isDecided) => {
    if (isDecided || encounter(page) !== encounter(document)) putAt = performance.now(); // else the same encounter beside another animal
    document.title = page.title;
    document.body.replaceChildren(...page.body.childNodes);
    if (address) history.pushState(null, "", address);
    scrollTo(0, 0);
    start();
    const heading = document.querySelector("h1"); // where a screen reader goes on
    if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
  };
  const go = async (address, form, otherwise) => {
    if (sent) return;
    sent = true;
    leaving = false;
    let answer, page;
    try {
      answer = await fetch(address, { ...(form ? { method: "POST", body: form } : {}), signal: AbortSignal.timeout?.(MOST_WAIT_MS) });
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch { // as without this script: the browser says that nobody answers; a decision that was kept is not kept twice
      sent = false;
      if (!leaving) otherwise();
      return;
    }
    sent = false;
    if (leaving) return;
    const isHere = form && !answer.redirected; // refused: the address is that of a form
    const isOld = program(page) !== program(document); // it was updated meanwhile
    if (isHere || (encounter(page) !== undefined && !isOld)) put(page, isHere ? "" : answer.url, Boolean(form));
    else {
      sent = true;
      location.assign(answer.url);
    }
  };
  let plainly = false;
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (plainly || form.method === "dialog" || button === undefined) return; // a browser that does not tell the button sends it itself
    event.preventDefault();
    if (isUnseen() && form.method === "post") return; // keys that only look are heeded: of two keys the second must not act alone
    const data = new FormData(form);
    if (button?.name) data.append(button.name, button.value); // the server takes the last; not every browser heeds a button given to FormData
    const said = new URLSearchParams(data);
    const otherwise = () => { plainly = true; form.requestSubmit(button); };
    if (form.method === "post") go(form.action, said, otherwise);
    else go(`${form.action.split("?")[0]}?${said}`, null, otherwise);
  });
  document.addEventListener("click", (event) => { // the second click of two would be on the next screen
    if (event.detail > 1 && event.target.closest("form button, [data-dialog], a[href]")) { event.preventDefault(); event.stopPropagation(); }
  }, { capture: true });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || link.target || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (link.origin !== location.origin || !link.pathname.startsWith("/e/")) return;
    event.preventDefault();
    go(link.href, null, () => location.assign(link.href));
  });
  window.addEventListener("popstate", () => { leaving = true; location.reload(); }); // the way back shows what is there now
  for (const end of ["beforeunload", "pagehide"]) window.addEventListener(end, () => { leaving = true; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // ---- a box around the head
  const prepareBox = () => {
    const area = document.getElementById("draw");
    if (area.firstChild) return;
    const img = document.createElement("img");
    img.alt = "The whole photo";
    img.draggable = false;
    const before = document.createElement("i"), box = document.createElement("i");
    before.className = "before";
    area.append(img, before, box);
    const [width, height] = area.dataset.size.split(",").map(Number);
    const put = (element, x, y, w, h) => Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    img.addEventListener("load", () => {
      if (!area.dataset.box) return;
      const k = img.clientWidth / width;
      put(before, ...area.dataset.box.split(",").map((v) => Number(v) * k));
    });
    img.src = area.dataset.src;
    let from = null;
    const where = (event) => {
      const r = img.getBoundingClientRect();
      return [Math.min(r.width, Math.max(0, event.clientX - r.left)), Math.min(r.height, Math.max(0, event.clientY - r.top))];
    };
    area.addEventListener("pointerdown", (event) => { from = where(event); area.setPointerCapture(event.pointerId); event.preventDefault(); });
    area.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = where(event);
      const [x, y] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])], [w, h] = [Math.abs(from[0] - to[0]), Math.abs(from[1] - to[1])];
      put(box, x, y, w, h);
      const k = width / img.clientWidth;
      document.getElementById("box").value = w > 4 && h > 4 ? [x * k, y * k, w * k, h * (height / img.clientHeight)].map((v) => v.toFixed(1)).join(",") : "";
    });
    area.addEventListener("pointerup", () => { from = null; });
  };

  // ---- keys
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (sent && event.key !== "Escape" && event.key !== "Tab") { event.preventDefault(); return; }
    const dialog = document.querySelector("dialog[open]");
    const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (dialog) {
      const button = typing ? null : dialog.querySelector(`[data-in="${CSS.escape(key)}"]`);
      const numbered = typing ? null : dialog.querySelectorAll(".choose input")[Number(key) - 1];
      if (button) { event.preventDefault(); button.click(); }
      else if (numbered) { event.preventDefault(); numbered.checked = !numbered.checked; }
      else if (key === "Enter" && event.target.matches("input[type=checkbox]")) { event.preventDefault(); event.target.form.requestSubmit(); }
      return;
    }
    if (typing || (key === "Enter" && event.target.matches("a, button, summary"))) return;
    if (key === "L") { document.getElementById("lines").click(); return; }
    const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("input")) target.focus();
    else target.click();
  });

  const start = () => {
    startPair();
    startDialogs();
    if (document.readyState === "complete") setTimeout(readAhead);
    else window.addEventListener("load", readAhead, { once: true });
  };
  start();
})();
