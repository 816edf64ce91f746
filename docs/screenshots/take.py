"""Takes the screenshots of the documents: `python docs/screenshots/take.py BOARD` (needs Chromium and its driver).

Serves the board on a free port of this machine and ends the server afterwards; audits one of the fictional people.
"""

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

import idbench
from idbench.splits import load_split
from idbench_leaderboard.manifest import REFERENCE
from idbench_leaderboard.server import command

FOLDER = Path(__file__).parent
# name: address, width, height, colour scheme
SHOTS = {
    "board": ("/", 1280, 1180, "light"),
    "board-dark": ("/", 1280, 1180, "dark"),
    "board-phone": ("/", 390, 844, "light"),
    "method": ("/method", 1280, 1180, "light"),
    "compare": ("/compare", 1280, 1180, "light"),
    "targets": ("/?target=all+of+avatars-a", 1280, 1620, "light"),
    "target": ("/target", 1280, 1180, "light"),
    "defenses": ("/defenses?split=avatars&target=avatars-a", 1280, 1620, "light"),
    "split": ("/split", 1280, 980, "light"),
}


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", type=Path, nargs="?", default=REFERENCE)
    board = parser.parse_args().board
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(command(board, port), stdout=subprocess.DEVNULL)  # noqa: S603  our own command
    driver = _browser()
    try:
        _wait_for(port)
        for name, (address, width, height, scheme) in SHOTS.items():
            take(driver, f"http://127.0.0.1:{port}{address}", FOLDER / f"{name}.png", width, height, scheme)
        with tempfile.TemporaryDirectory() as folder:
            take(driver, audit(Path(folder)), FOLDER / "audit.png", 900, 760, "light")
    finally:
        driver.quit()
        server.terminate()
        server.wait()


def audit(folder: Path) -> str:
    """Address of a report on the first person under test who is in 75 of the pictures that trained avatars-a."""
    split = load_split("avatars")
    often = split.labels("avatars-a").occurrences == 75
    one = next(one for one, is_often in zip(split.identities, often, strict=True) if is_often and one.part == "test")
    (folder / "photos").mkdir()
    for number, photo in enumerate(one.photos[:5]):
        (folder / "photos" / f"{number}.png").write_bytes(split.read_photo(photo))
    idbench.audit_person(one.name, folder / "photos", "avatars-a", methods=["cosine", "idia"]).save(
        folder / "audit.html"
    )
    return (folder / "audit.html").as_uri()


def _browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver") or ""))


def take(driver: webdriver.Chrome, address: str, path: Path, width: int, height: int, scheme: str) -> None:
    """One screenshot, once the page has stopped changing."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(address)
    _settle(driver)
    driver.save_screenshot(str(path))


def _wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the server never answered")


def _settle(driver: webdriver.Chrome) -> None:
    """Wait until the page has charts or tables and has said the same for two seconds."""
    seen, since = "", time.monotonic()
    for _ in range(600):
        text = driver.find_element(By.TAG_NAME, "body").text
        done = driver.find_elements(By.CSS_SELECTOR, ".marks, [data-testid=stTable]")
        if text != seen or not done:
            seen, since = text, time.monotonic()
        elif time.monotonic() - since > 2:
            return
        time.sleep(0.2)
    raise SystemExit(f"{driver.current_url} never came to rest")


if __name__ == "__main__":
    main()
