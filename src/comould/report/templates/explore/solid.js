// The bodies, to be turned: orthographic, like the still pictures, so that lengths can be compared anywhere.
const CREASE = 0.5;
const BODY_VERTEX = `#version 300 es
in vec3 a_at; in vec3 a_normal; uniform mat4 u_clip; uniform mat3 u_view; out vec3 v_normal; out vec3 v_at;
void main() { gl_Position = u_clip * vec4(a_at, 1.0); v_normal = u_view * a_normal; v_at = a_at; }`;
const BODY_FRAGMENT = `#version 300 es
precision highp float;
in vec3 v_normal; in vec3 v_at; uniform vec4 u_colour; uniform vec4 u_cut; out vec4 o_colour;
void main() {
  if (dot(u_cut.xyz, v_at) > u_cut.w) discard;
  vec3 n = normalize(v_normal);
  // Bodies do not overlap: where one is left before it is entered, the cut goes through it.
  if (!gl_FrontFacing) {
    o_colour = vec4(0.92 * u_colour.rgb * u_colour.a, u_colour.a);
    return;
  }
  vec3 key = normalize(vec3(-0.45, -0.65, -0.62)), fill = normalize(vec3(0.75, -0.1, -0.65));
  float light = 0.33 + 0.2 * (0.5 - 0.5 * n.y) + 0.5 * max(dot(n, key), 0.0) + 0.2 * max(dot(n, fill), 0.0);
  float gleam = 0.1 * pow(max(dot(n, normalize(key + vec3(0.0, 0.0, -1.0))), 0.0), 24.0);
  float cover = u_colour.a;
  if (cover < 0.99) cover += (1.0 - cover) * 0.65 * pow(1.0 - abs(n.z), 2.0);
  o_colour = vec4((u_colour.rgb * light + gleam) * cover, cover);
}`;
const FLAT_VERTEX = `#version 300 es
in vec3 a_at; in vec2 a_uv; in vec3 a_tint; uniform mat4 u_clip; uniform float u_size; out vec2 v_uv; out vec3 v_tint;
out vec3 v_at;
void main() { gl_Position = u_clip * vec4(a_at, 1.0); gl_PointSize = u_size; v_uv = a_uv; v_tint = a_tint; v_at = a_at; }`;
const FLAT_FRAGMENT = `#version 300 es
precision highp float;
in vec2 v_uv; in vec3 v_tint; in vec3 v_at; uniform sampler2D u_picture; uniform int u_kind; uniform float u_cover;
uniform vec4 u_cut; out vec4 o_colour;
void main() {
  if (dot(u_cut.xyz, v_at) - u_cut.w > 0.01) discard;
  if (u_kind == 0) o_colour = texture(u_picture, v_uv) * u_cover;
  else o_colour = vec4(v_tint, 1.0) * u_cover;
  if (u_kind == 2 && length(gl_PointCoord - 0.5) > 0.5) discard;
  if (o_colour.a < 0.02) discard;
}`;

const programOf = (gl, vertex, fragment) => {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const at = (name) => gl.getUniformLocation(program, name);
  return { program, at, input: (name) => gl.getAttribLocation(program, name) };
};

// Corners and normals by facet: smooth over gentle bends, creased at sharp ones.
const cornersOf = (body) => {
  const steps = new Uint16Array(bytes(body.xyz).buffer);
  const faces = body.wide ? new Uint32Array(bytes(body.faces).buffer) : new Uint16Array(bytes(body.faces).buffer);
  const points = Float32Array.from(steps, (step, n) => body.low[n % 3] + step * body.step[n % 3]);
  const at = (n) => points.subarray(3 * n, 3 * n + 3);
  const flat = new Float32Array(faces.length);
  const summed = new Float32Array(points.length);
  for (let f = 0; f < faces.length; f += 3) {
    const a = at(faces[f]);
    const normal = cross(sum(at(faces[f + 1]), a, -1), sum(at(faces[f + 2]), a, -1));
    flat.set(normal, f);
    for (let c = 0; c < 3; c++) for (let k = 0; k < 3; k++) summed[3 * faces[f + c] + k] += normal[k];
  }
  const unit = (all, n) => {
    const length = Math.hypot(all[n], all[n + 1], all[n + 2]) || 1;
    for (let k = 0; k < 3; k++) all[n + k] /= length;
  };
  for (let n = 0; n < summed.length; n += 3) unit(summed, n);
  for (let n = 0; n < flat.length; n += 3) unit(flat, n);
  const sharpest = new Float32Array(points.length / 3).fill(1);
  for (let f = 0; f < faces.length; f++) {
    const n = faces[f];
    const own = flat.subarray(f - (f % 3), f - (f % 3) + 3);
    sharpest[n] = Math.min(sharpest[n], dot(summed.subarray(3 * n, 3 * n + 3), own));
  }
  const out = new Float32Array(6 * faces.length);
  for (let f = 0; f < faces.length; f++) {
    const n = faces[f];
    out.set(at(n), 6 * f);
    const smooth = sharpest[n] > CREASE;
    out.set(smooth ? summed.subarray(3 * n, 3 * n + 3) : flat.subarray(f - (f % 3), f - (f % 3) + 3), 6 * f + 3);
  }
  return out;
};

class Solid {
  constructor(canvas, overlay) {
    this.canvas = canvas;
    this.overlay = overlay.getContext("2d");
    const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL 2");
    this.gl = gl;
    this.bodyProgram = programOf(gl, BODY_VERTEX, BODY_FRAGMENT);
    this.flatProgram = programOf(gl, FLAT_VERTEX, FLAT_FRAGMENT);
    this.bodies = page.bodies.map((body) => this.loaded(body));
    this.textures = new Map();
    // Something must be bound while lines and points are drawn.
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4).fill(255));
    this.show = { planes: 0.8, spots: 1, pictures: "one", cut: false };
    this.bounds();
    this.reset();
    this.frame();
  }

  loaded(body) {
    const { gl, bodyProgram } = this;
    const corners = cornersOf(body);
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
    for (const [name, offset] of [["a_at", 0], ["a_normal", 12]]) {
      gl.enableVertexAttribArray(bodyProgram.input(name));
      gl.vertexAttribPointer(bodyProgram.input(name), 3, gl.FLOAT, false, 24, offset);
    }
    gl.bindVertexArray(null);
    const high = body.low.map((low, k) => low + 65535 * body.step[k]);
    const some = [];
    for (let n = 0; n < corners.length; n += 6 * 37) some.push(corners.subarray(n, n + 3));
    return { array, some, count: corners.length / 6, colour: body.colour, opacity: body.opacity, low: body.low, high };
  }

  bounds() {
    const corners = this.bodies.flatMap((body) => [body.low, body.high]);
    for (const plane of Object.values(planes)) {
      for (const x of plane.x) for (const y of plane.y) corners.push(onPatient(plane, x, y));
    }
    const ends = [Math.min, Math.max].map((pick) => [0, 1, 2].map((k) => pick(...corners.map((c) => c[k]))));
    this.centre = ends[0].map((low, k) => (low + ends[1][k]) / 2);
    this.radius = Math.hypot(...sum(ends[1], ends[0], -1)) / 2;
  }

  // Half the width and height that what is there takes up at first, mm; the centre is put in its middle.
  frame() {
    const axes = this.axes();
    const points = this.bodies.length ? this.bodies.flatMap((body) => body.some) : [this.centre];
    const reach = [axes.right, axes.down].map((axis) => {
      const along = points.map((point) => dot(point, axis) - dot(this.centre, axis));
      const ends = [Math.min(...along), Math.max(...along)];
      this.centre = sum(this.centre, axis, (ends[0] + ends[1]) / 2);
      return (ends[1] - ends[0]) / 2;
    });
    this.reach = reach.map((half) => Math.max(half, 1));
  }

  reset() {
    this.azimuth = this.first === undefined ? this.facing() : this.first;
    this.first = this.azimuth;
    this.elevation = 28;
    this.zoom = 1;
    this.pan = [0, 0];
  }

  // Obliquely along the planes' normal, as the still picture looks.
  facing() {
    const plane = page.planes[0] && planes[page.planes[0].id];
    if (!plane) return -60;
    const normal = page.up.map((row) => dot(row, plane.normal));
    const level = Math.hypot(normal[0], normal[1]);
    return level < 0.2 ? -60 : (Math.atan2(normal[1], normal[0]) * 180) / Math.PI - 38;
  }

  // Look from a patient direction; from above and below with the front as it was seen from the front.
  lookFrom(direction) {
    const level = (way) => {
      const [x, y] = page.up.map((row) => dot(row, way));
      return Math.hypot(x, y) > 0.05 ? (Math.atan2(y, x) * 180) / Math.PI : null;
    };
    this.elevation = (Math.asin(clamp(dot(page.up[2], direction), -1, 1)) * 180) / Math.PI;
    this.azimuth = level(direction) ?? level([0, -1, 0]) ?? this.azimuth;
    this.pan = [0, 0];
  }

  // Right, down and forward of the picture in the patient: right × down = forward, never a mirror image.
  axes() {
    const [a, e] = [this.azimuth, this.elevation].map((degrees) => (degrees * Math.PI) / 180);
    const towards = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
    const right = [-Math.sin(a), Math.cos(a), 0];
    const back = towards.map((v) => -v);
    const home = (v) => [0, 1, 2].map((k) => page.up[0][k] * v[0] + page.up[1][k] * v[1] + page.up[2][k] * v[2]);
    return { right: home(right), down: home(cross(back, right)), forward: home(back) };
  }

  // Millimetres to pixels, and where the middle of the canvas lies.
  get pixels() {
    const { width, height } = this.canvas;
    return 0.45 * this.zoom * Math.min(width / this.reach[0], height / this.reach[1]);
  }

  middle(axes) {
    return sum(sum(this.centre, axes.right, -this.pan[0]), axes.down, -this.pan[1]);
  }

  clip(axes) {
    const { width, height } = this.canvas;
    const middle = this.middle(axes);
    const rows = [
      axes.right.map((v) => (2 * v * this.pixels) / width),
      axes.down.map((v) => (-2 * v * this.pixels) / height),
      axes.forward.map((v) => v / (4 * this.radius)),
    ];
    const last = rows.map((row) => -dot(row, middle));
    return new Float32Array([0, 1, 2].flatMap((k) => [rows[0][k], rows[1][k], rows[2][k], 0]).concat(last, 1));
  }

  // What lies on the viewer's side of the chosen plane is cut away.
  cutting(axes) {
    const plane = this.show.cut && page.stops.length ? planes[stopNow().plane] : null;
    if (!plane) return [0, 0, 0, 1e9];
    const sign = dot(plane.normal, axes.forward) > 0 ? -1 : 1;
    const normal = plane.normal.map((v) => sign * v);
    return [...normal, dot(normal, plane.origin) + 1e-3];
  }

  draw() {
    const { gl, canvas } = this;
    if (fit(canvas)) fit(this.overlay.canvas);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const axes = this.axes();
    const view = { axes, clip: this.clip(axes), cut: this.cutting(axes) };
    for (const body of this.bodies) if (body.opacity > 0.99) this.drawBody(body, view);
    this.drawPlanes(view);
    this.drawSpots(view);
    // Glass, the innermost first: of each only what is nearest.
    for (const body of [...this.bodies].reverse()) {
      if (body.opacity <= 0.01 || body.opacity > 0.99) continue;
      gl.colorMask(false, false, false, false);
      this.drawBody(body, view);
      gl.colorMask(true, true, true, true);
      gl.depthFunc(gl.EQUAL);
      this.drawBody(body, view);
      gl.depthFunc(gl.LESS);
    }
    this.drawOverlay(axes);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }

  drawBody(body, view) {
    const { gl, bodyProgram } = this;
    gl.useProgram(bodyProgram.program);
    if (this.show.cut) gl.disable(gl.CULL_FACE);
    else gl.enable(gl.CULL_FACE);
    const { right, down, forward } = view.axes;
    gl.uniformMatrix4fv(bodyProgram.at("u_clip"), false, view.clip);
    gl.uniformMatrix3fv(bodyProgram.at("u_view"), false, [0, 1, 2].flatMap((k) => [right[k], down[k], forward[k]]));
    gl.uniform4fv(bodyProgram.at("u_colour"), [...body.colour, body.opacity]);
    gl.uniform4fv(bodyProgram.at("u_cut"), view.cut);
    gl.bindVertexArray(body.array);
    gl.drawArrays(gl.TRIANGLES, 0, body.count);
    gl.bindVertexArray(null);
    gl.disable(gl.CULL_FACE);
  }

  // Corners (x y z, u v, r g b) as a picture, lines or points.
  flat(values, mode, kind, cover, view, size = 1) {
    const { gl, flatProgram } = this;
    gl.useProgram(flatProgram.program);
    this.scratch ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.scratch);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    for (const [name, width, offset] of [["a_at", 3, 0], ["a_uv", 2, 12], ["a_tint", 3, 20]]) {
      const input = flatProgram.input(name);
      gl.enableVertexAttribArray(input);
      gl.vertexAttribPointer(input, width, gl.FLOAT, false, 32, offset);
    }
    gl.uniformMatrix4fv(flatProgram.at("u_clip"), false, view.clip);
    gl.uniform4fv(flatProgram.at("u_cut"), view.cut);
    gl.uniform1i(flatProgram.at("u_kind"), kind);
    gl.uniform1f(flatProgram.at("u_cover"), cover);
    gl.uniform1f(flatProgram.at("u_size"), size);
    gl.drawArrays(mode, 0, values.length / 8);
  }

  corner(plane, x, y, tint) {
    const u = (x - plane.x[0]) / (plane.x[1] - plane.x[0]);
    const v = (y - plane.y[0]) / (plane.y[1] - plane.y[0]);
    return [...onPatient(plane, x, y), u, v, ...tint];
  }

  drawPlanes(view) {
    const { gl } = this;
    const cover = this.show.planes;
    if (cover <= 0) return;
    const first = new Map(page.stops.map((stop, n) => [stop.plane, n]).reverse());
    if (page.stops.length) first.set(stopNow().plane, chosen.stop);
    for (const [id, n] of first) {
      const plane = planes[id];
      const mine = n === chosen.stop;
      const [x, y] = [plane.x, plane.y];
      const ring = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => [x[i], y[j]]);
      if (this.show.pictures === "all" || (mine && this.show.pictures === "one")) {
        const quad = [0, 1, 2, 0, 2, 3].flatMap((k) => this.corner(plane, ...ring[k], [1, 1, 1]));
        gl.bindTexture(gl.TEXTURE_2D, this.texture(n));
        this.flat(new Float32Array(quad), gl.TRIANGLES, 0, 1, view);
      }
      const tint = mine ? [1, 0.85, 0.3] : [0.62, 0.85, 0.89];
      const frame = ring.flatMap((corner) => this.corner(plane, ...corner, tint));
      this.flat(new Float32Array(frame), gl.LINE_LOOP, 1, mine ? cover : 0.45 * cover, view);
    }
  }

  // The layers of a stop as the slices show them; drawn anew when they change.
  texture(n) {
    const { gl } = this;
    const known = this.textures.get(n);
    if (known && known.fresh) return known.texture;
    const stop = page.stops[n];
    const plane = planes[stop.plane];
    const width = 640;
    const height = Math.round((width * (plane.y[1] - plane.y[0])) / (plane.x[1] - plane.x[0]));
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [width, height];
    compose(sheet.getContext("2d"), stop, { x: 0, y: 0, width, height }, true);
    const texture = known ? known.texture : gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, sheet);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    this.textures.set(n, { texture, fresh: true });
    return texture;
  }

  drawSpots(view) {
    if (this.show.spots <= 0 || !groups.length) return;
    for (const group of groups) {
      const code = codes(group);
      const values = new Float32Array(8 * group.n);
      for (let n = 0; n < group.n; n++) {
        values.set(group.xyz.subarray(3 * n, 3 * n + 3), 8 * n);
        values.set(rgb(colourOf(colouring(), code ? code[n] : 0)).map((v) => v / 255), 8 * n + 5);
      }
      const size = Math.max(2, 0.75 * group.pitch * this.pixels);
      this.flat(values, this.gl.POINTS, 2, this.show.spots, view, size);
    }
  }

  // Where the patient's directions point, and a scale bar.
  drawOverlay(axes) {
    const ctx = this.overlay;
    const { width, height } = ctx.canvas;
    ctx.clearRect(0, 0, width, height);
    const unit = Math.max(1, width / 560);
    const [x, y, arm] = [width - 58 * unit, height - 58 * unit, 34 * unit];
    const ends = [["L", [1, 0, 0]], ["R", [-1, 0, 0]], ["P", [0, 1, 0]], ["A", [0, -1, 0]], ["S", [0, 0, 1]], ["I", [0, 0, -1]]];
    const seen = ends.map(([letter, way]) => [letter, dot(way, axes.right), dot(way, axes.down), dot(way, axes.forward)]);
    for (const [letter, across, along, deep] of seen.sort((a, b) => b[3] - a[3])) {
      if (Math.hypot(across, along) < 0.18) continue;
      ctx.globalAlpha = deep > 0.25 ? 0.45 : 1;
      ctx.strokeStyle = "#9fd8e3";
      ctx.lineWidth = 1.6 * unit;
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(x + arm * across, y + arm * along);
      ctx.stroke();
      written(ctx, letter, x + 1.34 * arm * across, y + 1.34 * arm * along, 13 * unit, "center", "#9fd8e3");
    }
    ctx.globalAlpha = 1;
    scaleBar(ctx, width, height, this.pixels);
  }

  // The plane nearest to the viewer beneath a point of the canvas (0 to 1 across and down); -1 when there is none.
  pick(across, along) {
    const axes = this.axes();
    const { width, height } = this.canvas;
    const dx = ((across - 0.5) * width) / this.pixels;
    const dy = ((along - 0.5) * height) / this.pixels;
    const from = sum(sum(this.middle(axes), axes.right, dx), axes.down, dy);
    let best = { stop: -1, depth: Infinity };
    page.stops.forEach((stop, n) => {
      const plane = planes[stop.plane];
      const lean = dot(plane.normal, axes.forward);
      if (Math.abs(lean) < 0.02) return;
      const depth = dot(sum(plane.origin, from, -1), plane.normal) / lean;
      const [x, y] = onPlane(plane, sum(from, axes.forward, depth));
      const inside = x >= plane.x[0] && x <= plane.x[1] && y >= plane.y[0] && y <= plane.y[1];
      if (inside && depth < best.depth) best = { stop: n, depth };
    });
    return best.stop;
  }
}
