"""Firefox, spoken to in WebDriver BiDi, which it understands by itself: no driver and no patched browser.

Source: https://w3c.github.io/webdriver-bidi/
"""

import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websocket

# Firefox's own errands stay away, and no page reaches another machine: the proxy it is told of isn't there.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.download.dir": "",  # a folder of the test's
    "browser.download.folderList": 2,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.no_proxies_on": "127.0.0.1, localhost",
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.type": 1,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}
KEYS = {"End": "\ue010", "Home": "\ue011", "Enter": "\ue007"}  # as WebDriver writes them
# What goes wrong on a page is noted there before its own scripts run.
NOTE_PROBLEMS = """() => {
  window.problems = [];
  const note = (what) => window.problems.push(String(what));
  addEventListener("error", (event) => note(event.message ?? `not loaded: ${event.target.outerHTML}`), true);
  addEventListener("unhandledrejection", (event) => note(event.reason));
  addEventListener("securitypolicyviolation", (event) => note(
    `${event.effectiveDirective} refused ${event.blockedURI}`));
}"""


class Firefox:
    """A headless Firefox with a profile of its own, and one tab."""

    def __init__(self, executable: str, folder: Path, seconds: float = 60):
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        preferences = PREFERENCES | {"browser.download.dir": str(self.downloads)}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in preferences.items()]
        (folder / "user.js").write_text("".join(lines))
        options = ["--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
        said = folder / "said.txt"
        with said.open("w") as file:
            self.process = subprocess.Popen([executable, *options], stdout=file, stderr=file)
        found = until(lambda: re.search(r"WebDriver BiDi listening on (\S+)", said.read_text()), seconds)
        if not found:
            raise RuntimeError(f"Firefox does not listen; it said:\n{said.read_text()}")
        self.socket = websocket.create_connection(
            f"{found[1]}/session", timeout=seconds, suppress_origin=True
        )
        self.numbers = itertools.count()
        self.tell("session.new", capabilities={})
        self.tab = self.tell("browsingContext.getTree")["contexts"][0]["context"]
        self.tell("script.addPreloadScript", functionDeclaration=NOTE_PROBLEMS)

    def tell(self, method: str, **params: Any) -> dict:
        """Send a command, and wait for its answer."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size = {"width": width, "height": height}
        self.tell("browsingContext.setViewport", context=self.tab, viewport=size)

    def open(self, url: str) -> None:
        """Go to the address, and wait until the page and all it loads is there."""
        self.tell("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def ask(self, function: str, *values: Any) -> Any:
        """What a function, or the promise it gives, answers on the page."""
        called = f"await ({function})(...JSON.parse(values)) ?? null"
        answer = self.tell(
            "script.callFunction",
            functionDeclaration=f"async (values) => JSON.stringify({called})",
            arguments=[{"type": "string", "value": json.dumps(values)}],
            target={"context": self.tab},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(f"{function[:200]}: {answer['exceptionDetails']['text']}")
        return json.loads(answer["result"]["value"])

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.tell("input.performActions", context=self.tab, actions=[keyboard])

    def close(self) -> None:
        """End the browser."""
        self.socket.close()
        self.process.terminate()
        self.process.wait()


def until(met: Callable[[], Any], seconds: float = 20) -> Any:
    """Ask again and again until the answer is yes; the last answer."""
    end = time.monotonic() + seconds
    while not (answer := met()) and time.monotonic() < end:
        time.sleep(0.1)
    return answer
