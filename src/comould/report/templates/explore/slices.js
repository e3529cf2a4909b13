// A plane at a time: layers over each other, patient millimetres under the cursor.
const layer = (name) => chosen.layers[name] ?? 0;

// Lay a plane's layers into a box of pixels; `bare` keeps imaging and habitats within the specimen, for the model.
const compose = (ctx, stop, box, bare) => {
  const plane = planes[stop.plane];
  const base = shared(stop);
  const mm = box.width / (plane.x[1] - plane.x[0]);
  const at = (x, y) => [box.x + (x - plane.x[0]) * mm, box.y + (y - plane.y[0]) * mm];
  const trace = (lines) => {
    ctx.beginPath();
    for (const line of lines || []) {
      for (let n = 0; n < line.length; n += 2) {
        const [x, y] = at(line[n] / 100, line[n + 1] / 100);
        if (n) ctx.lineTo(x, y);
        else ctx.moveTo(x, y);
      }
    }
  };
  const lay = (source, share, smooth) => {
    const image = share > 0 ? pictureOf(source) : null;
    if (!image) return;
    ctx.globalAlpha = share;
    ctx.imageSmoothingEnabled = smooth;
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(image, box.x, box.y, box.width, box.height);
    ctx.globalAlpha = 1;
  };
  const stroke = (lines, colour, width, share) => {
    if (!lines || !lines.length || share <= 0) return;
    trace(lines);
    ctx.globalAlpha = share;
    ctx.lineWidth = width;
    ctx.strokeStyle = colour;
    ctx.stroke();
    ctx.globalAlpha = 1;
  };
  ctx.save();
  if (bare) {
    trace(base.outline);
    ctx.clip("evenodd");
  }
  lay(base.grey, layer("grey"), true);
  lay(base.habitats, layer("habitats"), false);
  ctx.restore();
  lay(stop.picture, layer("section"), true);
  const thick = Math.max(1.2, box.width / 330);
  stroke(stop.edge, "#56e0ff", thick, layer("section"));
  stroke(base.outline, "#ffd84d", thick, layer("outline"));
  if (layer("spots") > 0) spotsOn(ctx, stop, at, mm);
};

const spotsOn = (ctx, stop, at, mm) => {
  const plane = planes[stop.plane];
  ctx.globalAlpha = layer("spots");
  for (const group of groups.filter((one) => one.section === stop.section)) {
    const code = codes(group);
    for (let n = 0; n < group.n; n++) {
      const [x, y] = at(...onPlane(plane, group.xyz.subarray(3 * n, 3 * n + 3)));
      ctx.beginPath();
      ctx.arc(x, y, Math.max(1, 0.4 * group.pitch * mm), 0, 2 * Math.PI);
      ctx.fillStyle = colourOf(colouring(), code ? code[n] : 0);
      ctx.fill();
    }
  }
  ctx.globalAlpha = 1;
};

const startSlices = () => {
  const canvas = byId("slice");
  const ctx = canvas.getContext("2d");
  let cursor = null;
  let waiting = false;

  const boxOf = () => ({ x: 0, y: 0, width: canvas.width, height: canvas.height });
  const mmAt = (event) => {
    const plane = planes[stopNow().plane];
    const rect = canvas.getBoundingClientRect();
    return [
      plane.x[0] + ((event.clientX - rect.left) / rect.width) * (plane.x[1] - plane.x[0]),
      plane.y[0] + ((event.clientY - rect.top) / rect.height) * (plane.y[1] - plane.y[0]),
    ];
  };

  const draw = () => {
    waiting = false;
    const stop = stopNow();
    const plane = planes[stop.plane];
    const aspect = (plane.x[1] - plane.x[0]) / (plane.y[1] - plane.y[0]);
    fit(canvas, aspect);
    const { width, height } = canvas;
    ctx.fillStyle = "#0a0d12";
    ctx.fillRect(0, 0, width, height);
    compose(ctx, stop, boxOf(), false);
    const size = Math.max(11, width / 34);
    written(ctx, plane.letters.left, 0.7 * size, height / 2, size, "left", "#9fd8e3");
    written(ctx, plane.letters.right, width - 0.7 * size, height / 2, size, "right", "#9fd8e3");
    written(ctx, plane.letters.top, width / 2, size, size, "center", "#9fd8e3");
    written(ctx, plane.letters.bottom, width / 2, height - size, size, "center", "#9fd8e3");
    const mm = width / (plane.x[1] - plane.x[0]);
    scaleBar(ctx, width, height, mm);
    if (cursor) {
      const [x, y] = [(cursor[0] - plane.x[0]) * mm, (cursor[1] - plane.y[0]) * mm];
      ctx.strokeStyle = "#ffffff";
      ctx.lineWidth = Math.max(1, width / 500);
      ctx.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        ctx.moveTo(x + 0.3 * size * dx, y + 0.3 * size * dy);
        ctx.lineTo(x + 0.9 * size * dx, y + 0.9 * size * dy);
      }
      ctx.stroke();
    }
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  };
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  };

  const nearest = () => {
    const stop = stopNow();
    for (const group of groups.filter((one) => one.section === stop.section)) {
      let best = null;
      for (let n = 0; n < group.n; n++) {
        const [x, y] = onPlane(planes[stop.plane], group.xyz.subarray(3 * n, 3 * n + 3));
        const away = Math.hypot(x - cursor[0], y - cursor[1]);
        if (away < 0.5 * group.pitch && (!best || away < best.away)) best = { away, n, group };
      }
      if (best) return best;
    }
    return null;
  };
  const valueAt = () => {
    const scheme = colouring();
    const found = scheme && layer("spots") > 0 ? nearest() : null;
    const code = found && codes(found.group) ? codes(found.group)[found.n] : 255;
    if (code === 255) return "";
    if (scheme.kind === "names") return ` · spot in ${scheme.names[code]}`;
    return ` · ${scheme.label} ${reading(scheme.low + (code / 254) * (scheme.high - scheme.low), 2)}`;
  };
  const say = () => {
    const where = byId("slice-where");
    if (!cursor) {
      where.textContent = "Point at the picture for patient coordinates.";
      return;
    }
    const at = onPatient(planes[stopNow().plane], ...cursor);
    where.textContent = `x ${reading(at[0])}, y ${reading(at[1])}, z ${reading(at[2])} mm (LPS)${valueAt()}`;
  };

  canvas.addEventListener("pointermove", (event) => {
    cursor = mmAt(event);
    say();
    redraw();
  });
  canvas.addEventListener("pointerdown", (event) => {
    cursor = mmAt(event);
    say();
    redraw();
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (move && event.shiftKey) {
      const plane = planes[stopNow().plane];
      const from = cursor || [(plane.x[0] + plane.x[1]) / 2, (plane.y[0] + plane.y[1]) / 2];
      cursor = [clamp(from[0] + move[0], ...plane.x), clamp(from[1] + move[1], ...plane.y)];
      say();
      redraw();
    } else if (move) chosen.go(chosen.stop + (move[0] || move[1]));
    else if (event.key === "Home") chosen.go(0);
    else if (event.key === "End") chosen.go(page.stops.length - 1);
    else return;
    event.preventDefault();
  });
  chosen.watchers.push((what) => {
    if (what !== "picture") say();
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
  say();
  redraw();
};
