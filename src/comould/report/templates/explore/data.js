// What both views share: the page's data decoded, what is chosen, and who wants to know when that changes.
const page = JSON.parse(document.getElementById("explore-data").textContent);
const byId = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floats = (text) => new Float32Array(bytes(text).buffer);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const sum = (a, b, t = 1) => [a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const reading = (x, digits = 1) => x.toFixed(digits).replace("-", "−");

const planes = Object.fromEntries(page.planes.map((p) => [p.id, { ...p, normal: cross(p.right, p.down) }]));
const onPatient = (plane, x, y) => sum(sum(plane.origin, plane.right, x), plane.down, y);
const onPlane = (plane, point) => {
  const away = sum(point, plane.origin, -1);
  return [dot(away, plane.right), dot(away, plane.down)];
};

const groups = page.spots.map((g) => ({
  ...g,
  xyz: floats(g.xyz),
  values: Object.fromEntries(Object.entries(g.values).map(([key, text]) => [key, bytes(text)])),
}));

const chosen = {
  stop: Math.floor((page.stops.length - 1) / 2),
  colouring: 0,
  layers: {},
  watchers: [],
  tell(what) {
    for (const watcher of this.watchers) watcher(what);
  },
  go(stop) {
    const next = clamp(stop, 0, page.stops.length - 1);
    if (next === this.stop) return;
    this.stop = next;
    this.tell("stop");
  },
};
const stopNow = () => page.stops[chosen.stop];
// Imaging, outline and habitats are kept once a plane, with its first stop.
const shared = (stop) => page.stops.find((one) => one.plane === stop.plane && one.outline) || stop;
const colouring = () => page.colourings[chosen.colouring];

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const colourOf = (scheme, code) => {
  if (!scheme || code === 255) return scheme ? scheme.missing : "#ffffff";
  if (scheme.kind === "names") return scheme.colours[code];
  return page.ramp[Math.round((code / 254) * (page.ramp.length - 1))];
};
const codes = (group) => (colouring() ? group.values[colouring().key] : null);

const pictures = new Map();
// A picture, or null until it is decoded; then everything is drawn again.
const pictureOf = (source) => {
  if (!source) return null;
  let image = pictures.get(source);
  if (!image) {
    image = new Image();
    image.onload = () => chosen.tell("picture");
    image.src = source;
    pictures.set(source, image);
  }
  return image.complete && image.naturalWidth ? image : null;
};

// Longest of 1, 2, 5 × 10ⁿ mm that takes at most 30 % of a width.
const barLength = (width) => {
  const power = 10 ** Math.floor(Math.log10(0.3 * width));
  return [5, 2, 1].find((step) => step * power <= 0.3 * width) * power;
};
const scaleBar = (ctx, width, height, mm) => {
  const length = barLength(width / mm);
  const unit = Math.max(1, width / 420);
  const [x, y] = [14 * unit, height - 14 * unit];
  ctx.fillStyle = "#ffffff";
  ctx.fillRect(x, y, length * mm, 3 * unit);
  written(ctx, `${length} mm`, x, y - 8 * unit, 11 * unit, "left", "#ffffff");
};
const written = (ctx, text, x, y, size, align, colour) => {
  ctx.font = `600 ${size}px system-ui, sans-serif`;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.lineWidth = size / 4;
  ctx.lineJoin = "round";
  ctx.strokeStyle = "#0a0d12";
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
};
// Match a canvas's pixels to its size on the screen; tells whether that changed.
const fit = (canvas, aspect) => {
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * dense));
  const height = Math.max(1, Math.round(aspect ? width / aspect : canvas.clientHeight * dense));
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
};
