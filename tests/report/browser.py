"""A real Chromium looks at a page: what it drew, what it complained of, how it answers to a slider."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WITHOUT = ("--disable-gpu", "--disable-3d-apis")
PATIENCE_S = 120
TOOLS = """
const frame = () => new Promise(requestAnimationFrame);
const settle = async () => {
  // Pictures are decoded between frames, and what they change is drawn in the next.
  for (let n = 0; n < 4; n++) {
    await new Promise((done) => setTimeout(done, 30));
    await frame();
  }
};
const at = (id) => document.getElementById(id);
const put = async (id, value) => {
  if (at(id).type === "checkbox") at(id).checked = value;
  else at(id).value = value;
  for (const what of ["input", "change"]) at(id).dispatchEvent(new Event(what, { bubbles: true }));
  await settle();
};
const click = async (what) => {
  document.querySelector(what).click();
  await settle();
};
const press = async (id, key, more) => {
  at(id).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
  await settle();
};
const pixels = (id) => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [at(id).width, at(id).height];
  const ctx = copy.getContext("2d", { willReadFrequently: true });
  ctx.drawImage(at(id), 0, 0);
  return ctx.getImageData(0, 0, copy.width, copy.height).data;
};
// Share of the pixels that pass, and their middle: 0 to 1 across and down.
const look = (id, test) => {
  const all = pixels(id);
  const [width, height] = [at(id).width, at(id).height];
  let [x, y, found] = [0, 0, 0];
  for (let n = 0; n < width * height; n++) {
    if (!test(all[4 * n], all[4 * n + 1], all[4 * n + 2], all[4 * n + 3])) continue;
    [x, y, found] = [x + (n % width), y + Math.floor(n / width), found + 1];
  }
  return { share: found / width / height, x: x / found / width, y: y / found / height };
};
const differ = (a, b) => {
  let found = 0;
  for (let n = 0; n < a.length; n += 4) {
    if ([0, 1, 2].some((k) => Math.abs(a[n + k] - b[n + k]) > 24)) found++;
  }
  return found / (a.length / 4);
};
"""


def chromium():
    """Path of the browser, or a skip that says so."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here")
    return path


class Tab:
    """A page in a browser of its own, spoken to over the DevTools protocol's pipe; ``said`` is all it complained of."""

    def __init__(self, page: Path, size=(1200, 1400), *, webgl=True):
        self.profile = tempfile.mkdtemp(prefix="comould-browser-")
        to_read, self.to = os.pipe()
        self.came, from_write = os.pipe()
        command = [chromium(), *FLAGS, *(WEBGL if webgl else WITHOUT), f"--user-data-dir={self.profile}"]
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{to_read} 4>&{from_write}', "bash", *command],
            pass_fds=(to_read, from_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(from_write)
        self.rest, self.number, self.said, self.session = b"", 0, [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Runtime", "Log", "Page"):
            self.send(f"{part}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self.send("Page.navigate", url=page.as_uri())
        self.run('if (document.readyState !== "complete") await new Promise((go) => addEventListener("load", go));')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        for handle in (self.to, self.came):
            os.close(handle)
        shutil.rmtree(self.profile, ignore_errors=True)

    def send(self, method, **told):
        """Call a method and wait for its answer; events on the way are looked through for complaints."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": told}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE_S
        while (answer := self._next(end)).get("id") != self.number:
            if answer["method"] in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}:
                self.said.append(json.dumps(answer["params"])[:600])
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self, end):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.came], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self.came, 1 << 20)
            assert more, "the browser has gone"
            self.rest += more
        first, _, self.rest = self.rest.partition(b"\0")
        return json.loads(first)

    def run(self, script):
        """Run a script that may wait, and give what it returns; the page's own policy stays in force."""
        whole = f"(async () => {{ {TOOLS} {script} }})()"
        answer = self.send("Runtime.evaluate", expression=whole, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def photograph(self, path: Path):
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
