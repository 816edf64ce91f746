"""Headless Chromium, and the served app, for the tests that look at pages as a person does."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from idbench_leaderboard.server import command

PAGES = ("board", "method", "compare", "target", "split", "glossary")
PATIENCE = 40.0  # seconds, for a machine that does ten other things
T = TypeVar("T")


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            f"{names[0]} is not installed: the leaderboard's browser tests need it. "
            "On Debian: apt-get install chromium chromium-driver."
        )
    return found


class Browser:
    """Headless Chromium that remembers what the page logged and whom it asked."""

    def __init__(self, downloads: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
        self.downloads = downloads
        self.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.size(1280, 900)

    def command(self, name: str, **parameters: Any) -> None:
        self.driver.execute_cdp_cmd(name, parameters)

    def size(self, width: int, height: int) -> None:
        mobile = width < 600
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    def scheme(self, name: str) -> None:
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, address: str) -> None:
        self.logged("browser")
        self.logged("performance")
        self.driver.get(address)

    def find(self, selector: str) -> WebElement:
        return self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def text(self) -> str:
        return str(self.driver.execute_script("return document.body.innerText"))

    def says(self, words: str) -> None:
        self.until(lambda: words in self.text(), words)

    def until(self, check: Callable[[], T], what: str) -> T:
        """The first true answer; a page is never waited for by the clock."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if answer := check():
                    return answer
            except (WebDriverException, StaleElementReferenceException):
                pass
            time.sleep(0.1)
        raise AssertionError(f"{what!r} never came:\n{self.text()[:2000]}")

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last time."""
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def errors(self) -> list[str]:
        """What the console complained about.

        Opened below its root, Streamlit first looks for its server there, and the browser logs both misses.
        """
        known = re.compile(r"/[a-z]+/_stcore/(health|host-config)\b.*404")
        logged = [entry["message"] for entry in self.logged("browser") if entry["level"] == "SEVERE"]
        return [message for message in logged if not known.search(message)]

    def strangers(self, *own: str) -> set[str]:
        """Addresses asked that are not ours."""
        events = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        asked = {
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        }
        return {url for url in asked if not url.startswith((*own, "data:", "blob:", "chrome"))}

    def downloaded(self, name: str) -> Path:
        path = self.downloads / name
        self.until(lambda: path.exists() and path.stat().st_size > 0, name)
        return path


@contextmanager
def served(board: Path, folder: Path) -> Iterator[str]:
    """The app on a free port of this machine; ended afterwards.

    Args:
        board: what it shows.
        folder: where it works and writes its log.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command(board, port), cwd=folder, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server never answered:\n{log.read_text()}")
