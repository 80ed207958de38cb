"""Pages as a person has them, in Chromium: on a telephone and on a desk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PHONE, DESK = 390, 1400  # pixels across
SMALLEST = 11.5  # pixels of a letter

OPTIONS = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
OPTIONS += " --autoplay-policy=no-user-gesture-required --disable-component-update"

OVER = """
const wide = window.innerWidth, found = [];
for (const e of document.querySelectorAll("body *")) {
  let box = e.parentElement;
  while (box && getComputedStyle(box).overflowX == "visible") box = box.parentElement;
  const right = e.getBoundingClientRect().right;
  if (right > wide + 1 && !box) found.push(`${e.tagName} to ${right}: ${e.textContent.slice(0, 40)}`);
}
const across = document.documentElement.scrollWidth;
if (across > ARGUMENT) found.push(`the page is ${across} across`);
return found;
"""
SMALL = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let least = 99;
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  if (walker.currentNode.textContent.trim() && e.getClientRects().length && !/STYLE|SCRIPT/.test(e.tagName))
    least = Math.min(least, parseFloat(getComputedStyle(e).fontSize));
}
return least;
"""


def readable(browser: "Chrome", page: Path) -> None:
    """Fail where a page has to be moved sideways on a telephone or a desk, or has text too small to read."""
    for width in (PHONE, DESK):
        beyond, least = look(browser, page, width)
        assert beyond == [], f"{page.name} at {width} pixels"
        assert least >= SMALLEST


@contextmanager
def chromium(profile: Path) -> Iterator["Chrome"]:
    """A browser without a window; the test is skipped where there is none."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in (*OPTIONS.split(), f"--user-data-dir={profile}"):
        options.add_argument(option)
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def look(browser: "Chrome", page: Path, width: int) -> tuple[list[str], float]:
    """What of a page lies beyond the screen's right edge, and the size of its smallest text in pixels."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < DESK}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.resolve().as_uri())
    found = browser.execute_script(OVER.replace("ARGUMENT", str(width)))
    least = browser.execute_script(SMALL)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return found, least
