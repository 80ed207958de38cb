"""Photographs of a search as MLflow shows it: its page, a machine's run, the best trial and its plots.

    apt-get install chromium chromium-driver && pip install selenium
    python mlflow/photograph.py SEARCH [--at http://127.0.0.1:5000] [--machine fan] [--out docs/images]

It goes the way that a person goes, click by click, and fails where that way is gone. Where the server wants a
password: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

import argparse
import io
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from rich.console import Console
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
OPTIONS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
OPTIONS += " --disable-background-networking --disable-component-update --window-size=1300,1000"
SETTINGS = {  # of MLflow's pages: no assistant beside them, and those for training
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.workflowType_v1": '"machine_learning"',
}
PATIENCE = 120.0  # seconds until a page has what is looked for
COLOURS = 64  # of a photograph, which keeps it small


class Browser:
    """A Chromium that looks at one MLflow."""

    def __init__(self, at: str, profile: str) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for option in (*OPTIONS.split(), f"--user-data-dir={profile}"):
            options.add_argument(option)
        self.driver = Chrome(options=options, service=Service(DRIVER))
        user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
        scheme, _, host = at.rstrip("/").partition("://")
        named = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        self.driver.get(f"{scheme}://{named}{host}/")
        for name, value in SETTINGS.items():
            self.driver.execute_script("localStorage.setItem(arguments[0], arguments[1])", name, value)
        self.driver.get(f"{scheme}://{host}/#/experiments")
        self.driver.refresh()

    def find(self, path: str) -> WebElement:
        """What an XPath leads to, as soon as a person could click on it."""
        return WebDriverWait(self.driver, PATIENCE).until(element_to_be_clickable((By.XPATH, path)))

    def click(self, path: str) -> None:
        """Click there, and go on in the tab that this opens, if it does."""
        self.find(path).click()
        self.driver.switch_to.window(self.driver.window_handles[-1])

    def close(self) -> None:
        """Close the tab, and go back to the one before."""
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[-1])

    def photograph(self, file: Path, *, until: str) -> None:
        """Take a photograph of the whole window when `until` is there and every picture is loaded."""
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", self.find(until))
        loaded = "return [...document.images].every(picture => picture.complete && picture.naturalWidth)"
        WebDriverWait(self.driver, PATIENCE).until(lambda driver: driver.execute_script(loaded))
        picture = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("search")
    parser.add_argument("--at", default="http://127.0.0.1:5000")
    parser.add_argument("--machine", default="fan")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, Console().status("opening Chromium"):
        browser = Browser(asked.at, profile)
        try:
            walk(browser, asked.search, asked.machine, asked.out)
        finally:
            browser.driver.quit()


def walk(browser: Browser, search: str, machine: str, out: Path) -> None:
    """From the list of searches to everything that is there of one machine."""
    best = f"//a[starts-with(text(), '{machine}-')]"  # in the search's description, not in the table below
    run = f"//a[span[text()='{machine}']]"  # in that table
    browser.click(f"//a[text()='{search}']")
    browser.click("//button[contains(@data-component-id, 'expand_button')]")
    browser.photograph(out / "mlflow-search.png", until=run)

    browser.click("//a[contains(@href, 'humtune-machines')]")
    browser.click(f"{run}/ancestor::span[@role='presentation']//button")  # unfold its trials
    browser.photograph(out / "mlflow-machines.png", until=f"//a[span[starts-with(text(), '{machine}-')]]")
    browser.close()

    browser.click(best)
    browser.photograph(out / "mlflow-best.png", until="//*[starts-with(text(), 'Parameters')]")
    browser.click("//*[@role='tab' and contains(., 'Artifacts')]")
    browser.click("//*[text()='scores.png']")
    browser.photograph(out / "mlflow-plots.png", until="//img[starts-with(@src, 'blob:')]")
    browser.close()

    browser.click(run)
    browser.click("//*[text()='Show more']")
    browser.photograph(out / "mlflow-machine.png", until="//td[text()='time']")


if __name__ == "__main__":
    main()
