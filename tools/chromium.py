"""Where Chromium is on this machine: `make pdf`, the screenshot and the browser tests use this one."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Playwright

# Chrome and Edge are Chromium by another name.
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
MAC_APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge")
PLACES = (
    "/snap/bin/chromium",
    *(
        f"{folder}/{name}.app/Contents/MacOS/{name}"
        for name in MAC_APPLICATIONS
        for folder in ("/Applications", Path.home() / "Applications")
    ),
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
NOT_FOUND = (
    "No Chromium found. Install Chromium or Google Chrome, or let Playwright fetch its own with "
    "`.venv/bin/playwright install chromium`; the variable CHROMIUM names one in another place."
)


class NoChromiumError(Exception):
    """There is none; the message says what to do."""


def find_chromium(playwright: Playwright) -> str:
    """The path of a Chromium: the one in `CHROMIUM`, Playwright's own, or one where it is usually installed.

    Raises `NoChromiumError`, saying what to do, where there is none.
    """
    if named := os.environ.get("CHROMIUM"):
        if not (path := shutil.which(named)):
            raise NoChromiumError(f"CHROMIUM is {named!r}, and no program is there.")
        return path
    for candidate in (playwright.chromium.executable_path, *COMMANDS, *PLACES):
        if path := shutil.which(candidate):
            return path
    raise NoChromiumError(NOT_FOUND)
