// Sliders, buttons, pointer and keys; the model is optional, the slices are not.
const DIRECTIONS = { L: [1, 0, 0], R: [-1, 0, 0], P: [0, 1, 0], A: [0, -1, 0], S: [0, 0, 1], I: [0, 0, -1] };

const startLayers = () => {
  for (const input of document.querySelectorAll("[data-layer]")) {
    const take = () => {
      chosen.layers[input.dataset.layer] = input.valueAsNumber / 100;
    };
    take();
    input.addEventListener("input", () => {
      take();
      chosen.tell("layers");
    });
  }
  const colour = byId("explore-colour");
  if (!colour) return;
  colour.addEventListener("change", () => {
    chosen.colouring = colour.selectedIndex;
    chosen.tell("layers");
  });
};

const swatch = (colour, text) => {
  const item = document.createElement("li");
  const patch = document.createElement("i");
  patch.style.background = colour;
  item.append(patch, text);
  return item;
};
const legend = () => {
  const list = byId("explore-legend");
  const items = [];
  const scheme = layer("spots") > 0 ? colouring() : null;
  if (layer("habitats") > 0 || (scheme && scheme.key === "habitat" && page.habitats.length)) {
    items.push(...page.habitats.map((one) => swatch(one.colour, one.name)));
  }
  if (scheme && scheme.kind === "number") {
    const item = swatch(`linear-gradient(to right, ${page.ramp.join(", ")})`, "");
    item.className = "ramp";
    item.prepend(`${scheme.label} ${reading(scheme.low, 2)}`);
    item.append(reading(scheme.high, 2));
    items.push(item);
  } else if (scheme && !(scheme.key === "habitat" && page.habitats.length)) {
    items.push(...scheme.names.map((name, n) => swatch(scheme.colours[n], name)));
  }
  if (layer("outline") > 0) items.push(swatch("#ffd84d", "specimen's outline"));
  if (layer("section") > 0 && stopNow().picture) items.push(swatch("#56e0ff", "section's outline"));
  list.replaceChildren(...items);
};

const startStops = () => {
  const slider = byId("explore-stop");
  const say = () => {
    const stop = stopNow();
    const plane = stop.plane === stop.section ? "" : `${stop.plane} · `;
    const which = plane + (stop.section ? `section ${stop.section}` : "no section");
    slider.value = String(chosen.stop);
    slider.setAttribute("aria-valuetext", which);
    byId("explore-which").textContent = which;
    const verdict = byId("explore-verdict");
    verdict.textContent = stop.word;
    verdict.className = `badge ${stop.verdict}`;
    verdict.hidden = !stop.word;
    byId("explore-back").disabled = chosen.stop === 0;
    byId("explore-on").disabled = chosen.stop === page.stops.length - 1;
  };
  slider.addEventListener("input", () => chosen.go(slider.valueAsNumber));
  byId("explore-back").addEventListener("click", () => chosen.go(chosen.stop - 1));
  byId("explore-on").addEventListener("click", () => chosen.go(chosen.stop + 1));
  chosen.watchers.push(() => {
    say();
    legend();
  });
  say();
  legend();
};

const startPointer = (canvas, solid, redraw) => {
  const held = new Map();
  let moved = 0;
  const turn = (dx, dy) => {
    solid.azimuth -= 0.45 * dx;
    solid.elevation = clamp(solid.elevation + 0.45 * dy, -90, 90);
  };
  const shift = (dx, dy) => {
    const mm = canvas.width / canvas.clientWidth / solid.pixels;
    solid.pan = [solid.pan[0] + dx * mm, solid.pan[1] + dy * mm];
  };
  const zoom = (factor) => {
    solid.zoom = clamp(solid.zoom * factor, 0.4, 12);
  };
  const spread = () => {
    const [a, b] = [...held.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved = held.size > 1 ? 99 : 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    const apart = held.size === 2 ? spread() : 0;
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved += Math.hypot(dx, dy);
    if (held.size === 2) {
      zoom(spread() / Math.max(apart, 1));
      shift(dx / 2, dy / 2);
    } else if (event.shiftKey || event.buttons & 2) shift(dx, dy);
    else turn(dx, dy);
    redraw();
  });
  const release = (event) => {
    if (event.type === "pointerup" && held.has(event.pointerId) && moved < 5) {
      const rect = canvas.getBoundingClientRect();
      const stop = solid.pick((event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height);
      if (stop >= 0) chosen.go(stop);
    }
    held.delete(event.pointerId);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    // A page that scrolls past must not be caught: the wheel zooms only a model that was clicked.
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-0.0015 * event.deltaY));
    redraw();
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const arrow = arrows[event.key];
    const letter = event.key.length === 1 ? DIRECTIONS[event.key.toUpperCase()] : null;
    if (arrow && event.shiftKey) shift(-12 * arrow[0], -12 * arrow[1]);
    else if (arrow) turn(11 * arrow[0], 11 * arrow[1]);
    else if (event.key === "+" || event.key === "=") zoom(1.15);
    else if (event.key === "-") zoom(1 / 1.15);
    else if (event.key === "0") solid.reset();
    else if (event.key === "PageDown") chosen.go(chosen.stop + 1);
    else if (event.key === "PageUp") chosen.go(chosen.stop - 1);
    else if (letter) solid.lookFrom(letter);
    else return;
    event.preventDefault();
    redraw();
  });
};

const startSolid = () => {
  const canvas = byId("solid");
  if (!canvas) return;
  const figure = byId("solid-figure");
  let solid;
  figure.hidden = false;
  try {
    solid = new Solid(canvas, byId("solid-overlay"));
  } catch (problem) {
    figure.hidden = true;
    byId("solid-without").textContent = "This browser cannot draw the model; here is a picture of it.";
    return;
  }
  byId("solid-without").hidden = true;
  byId("solid-still").classList.add("only-paper");
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      solid.draw();
    });
  };
  for (const input of document.querySelectorAll("[data-body]")) {
    const body = solid.bodies[Number(input.dataset.body)];
    const box = byId(`body-on-${input.dataset.body}`);
    const take = () => {
      body.opacity = box.checked ? input.valueAsNumber / 100 : 0;
      redraw();
    };
    input.addEventListener("input", take);
    box.addEventListener("change", take);
    take();
  }
  for (const input of document.querySelectorAll("[data-show]")) {
    const take = () => {
      const value = { checkbox: () => input.checked, range: () => input.valueAsNumber / 100 }[input.type];
      solid.show[input.dataset.show] = value ? value() : input.value;
      redraw();
    };
    input.addEventListener("input", take);
    take();
  }
  for (const button of document.querySelectorAll("[data-from]")) {
    button.addEventListener("click", () => {
      if (button.dataset.from === "reset") solid.reset();
      else solid.lookFrom(DIRECTIONS[button.dataset.from]);
      redraw();
    });
  }
  canvas.addEventListener("webglcontextlost", () => {
    figure.hidden = true;
    byId("solid-still").classList.remove("only-paper");
  });
  startPointer(canvas, solid, redraw);
  chosen.watchers.push((what) => {
    if (what !== "stop") for (const known of solid.textures.values()) known.fresh = false;
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
  redraw();
};

byId("explore-live").hidden = false;
byId("explore-without").hidden = true;
startLayers();
if (page.stops.length) {
  startStops();
  startSlices();
}
startSolid();
