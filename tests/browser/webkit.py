"""WebKit, as Debian's `webkit2gtk-driver` has it, on a screen of its own: the classic WebDriver's few words.

Source: https://www.w3.org/TR/webdriver2/
"""

import json
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from firefox import KEYS, until

BROWSERS = Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")
SECONDS = 120


class WebKit:
    """A browser with one window, which answers like `Firefox`."""

    def __init__(self, driver: str, screen: str, browser: str):
        # The screen says on its output which number it found free.
        shown = subprocess.Popen(
            [screen, "-displayfd", "1", "-screen", "0", "1400x1000x24"], stdout=subprocess.PIPE, text=True
        )
        display = f":{shown.stdout.readline().strip()}"
        self.processes = [shown]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        environment = os.environ | {"DISPLAY": display, "WEBKIT_DISABLE_COMPOSITING_MODE": "1"}
        self.processes.append(subprocess.Popen([driver, f"--port={port}"], env=environment))
        until(self._is_up)
        options = {"binary": browser, "args": ["--automation"]}
        wanted = {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}
        session = self.tell("", capabilities={"alwaysMatch": wanted})["sessionId"]
        self.address += f"/session/{session}"

    def _is_up(self) -> bool:
        with suppress(URLError):
            return bool(urlopen(self.address + "/status", timeout=5))
        return False

    def tell(self, path: str, **body: Any) -> Any:
        """Send a command, and wait for its answer."""
        address = self.address + (path or "/session")
        request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            return json.load(urlopen(request, timeout=SECONDS))["value"]
        except HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()[:500]}") from error

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.tell("/window/rect", width=width, height=height)

    def open(self, url: str) -> None:
        """Go to the address, and wait until the page and all it loads is there."""
        self.tell("/url", url=url)

    def ask(self, function: str, *values: Any) -> Any:
        """What a function, or the promise it gives, answers on the page."""
        called = f"(async (values) => ({function})(...values))(arguments[0])"
        script = f"{called}.then(arguments[arguments.length - 1])"
        return self.tell("/execute/async", script=script, args=[list(values)])

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")]
        self.tell("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def close(self) -> None:
        """End the browser and its screen."""
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        self.processes[0].stdout.close()
