"""A real Chromium looks at a page: what it drew, what it complained of, how it answers to a slider."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PROBE = """
<pre id="probe"></pre>
<script>
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const put = (id, value) => {
  const input = document.getElementById(id);
  if (input.type === "checkbox") input.checked = value;
  else input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const press = (id, key, more) =>
  document.getElementById(id).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
const pixels = (id) => {
  const canvas = document.getElementById(id);
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const ctx = copy.getContext("2d");
  ctx.drawImage(canvas, 0, 0);
  return ctx.getImageData(0, 0, copy.width, copy.height).data;
};
const count = (id, test) => {
  const all = pixels(id);
  let found = 0;
  for (let n = 0; n < all.length; n += 4) if (test(all[n], all[n + 1], all[n + 2], all[n + 3])) found++;
  return found / (all.length / 4);
};
const differ = (a, b) => {
  let found = 0;
  for (let n = 0; n < a.length; n++) if (n % 4 < 3 && Math.abs(a[n] - b[n]) > 24) found++;
  return found / (0.75 * a.length);
};
const middle = (id, test) => {
  const all = pixels(id);
  const width = document.getElementById(id).width;
  let [x, y, found] = [0, 0, 0];
  for (let n = 0; n < all.length / 4; n++) {
    if (!test(...all.slice(4 * n, 4 * n + 4))) continue;
    [x, y, found] = [x + (n % width), y + Math.floor(n / width), found + 1];
  }
  return [x / found / width, y / found / document.getElementById(id).height];
};
(async () => {
  const found = {};
  try {
    await later(600);
    SCRIPT
  } catch (problem) { found.problem = String(problem.stack); }
  document.getElementById("probe").textContent = JSON.stringify(found);
})();
</script>
"""


def chromium():
    """Path of the browser, or a skip that says so."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here")
    return path


def run(page: Path, *flags: str, webgl: bool = True) -> subprocess.CompletedProcess:
    """Open a page in a browser of its own."""
    profile = page.parent / f"profile-{page.stem}"
    gl = WEBGL if webgl else ("--disable-gpu", "--disable-3d-apis")
    command = [
        chromium(),
        *FLAGS,
        *gl,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=12000",
        *flags,
        page.as_uri(),
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def complaints(done: subprocess.CompletedProcess) -> list[str]:
    """Lines of the page's console."""
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probe(text: str, script: str, folder: Path, *, webgl: bool = True, size=(1200, 1400)):
    """Run a script in a copy of a page that lets it; gives what it put into ``found``, and the console."""
    probed = re.sub(r"script-src &#39;sha256-[^;]*&#39;|script-src 'sha256-[^;]*'", "script-src 'unsafe-inline'", text)
    page = folder / "probed.html"
    page.write_text(probed.replace("</body>", PROBE.replace("SCRIPT", script) + "</body>"), encoding="utf-8")
    done = run(page, "--dump-dom", f"--window-size={size[0]},{size[1]}", webgl=webgl)
    inside = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert inside, done.stderr[-2000:]
    return json.loads(html.unescape(inside[1]) or "{}"), complaints(done)
