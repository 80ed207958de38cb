"""The page as a person has it, in Chromium: looked at, listened to, labelled, saved."""

import json
import threading
import time

import numpy as np
import pytest
import soundfile
from chromium import readable
from models import RATE, make_info, write_model
from waiting import wait_for

from humtune.runtime.healthy import HEALTHY, read_healthy
from humtune.runtime.info import Evidence
from humtune.runtime.labels import LABELS, Label, add_label, read_labels
from humtune.runtime.log import log_path
from humtune.runtime.page import PAGE, update_page, with_labels
from humtune.runtime.recordings import Listener
from humtune.runtime.results import ResultFiles
from humtune.runtime.review import Review
from humtune.runtime.scorer import Scorer

pytestmark = pytest.mark.integration

VISIBLE = "return arguments[0].getBoundingClientRect().toJSON()"


@pytest.fixture
def folder(tmp_path):
    """Results of three recordings, one of them long and with a whistle from 41 to 44 s, on a page."""
    evidence = Evidence(held_out=(0.01, 0.011, 0.012), clip_samples=10 * RATE)
    write_model(tmp_path / "model", make_info(window=10 * RATE, evidence=evidence))
    (tmp_path / "model" / HEALTHY).mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "model" / HEALTHY / "00.flac", 0.01 * rng.normal(size=10 * RATE), RATE)
    moment = np.arange(60 * RATE) / RATE
    whistle = 0.5 * np.sin(2 * np.pi * 3_000 * moment) * (moment >= 41) * (moment < 44)
    waves = {
        "long night's shift of the pump in the cellar, number 3.wav": 0.01 * rng.normal(size=60 * RATE)
        + whistle,
        "loud.wav": 0.11 * rng.normal(size=10 * RATE),
        "calm.wav": 0.01 * rng.normal(size=10 * RATE),
    }
    scorer = Scorer.open(tmp_path / "model")
    with ResultFiles(tmp_path / "scores", scorer.info) as results:
        for name, wave in waves.items():
            soundfile.write(tmp_path / name, wave, RATE)
            results.write(Listener(scorer).score(tmp_path / name))
    update_page(tmp_path / "scores", scorer, read_healthy(tmp_path / "model", RATE))
    return tmp_path / "scores"


def look(browser, address, *, width=1400, height=1000):
    """Open a page in a window of a size, and return its cards."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    return all_of(browser, "article")


def all_of(where, selector):
    return where.find_elements("css selector", selector)


def click(where, selector, number):
    """Click on one of several as a person does, who scrolls it to where nothing lies over it."""
    button = all_of(where, selector)[number]
    button.parent.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def labels(folder):
    return {name: said.label for name, said in read_labels(folder).items()}


def pressed(card):
    return [b.text for b in all_of(card, "button") if b.get_attribute("aria-pressed") == "true"]


def test_it_fits_a_telephone_and_a_desk(browser, folder):
    readable(browser, folder / PAGE)


def test_a_recording_is_heard_beside_a_healthy_one_and_its_stretch_is_marked(browser, folder):
    first, *_ = look(browser, (folder / "index.html").as_uri())
    assert "Strangest from 0:41 to 0:44" in first.text
    assert "3 kHz" in first.text
    for picture in all_of(browser, "img"):
        assert picture.get_property("naturalWidth") > 100
    (sound,), (mark,) = all_of(first, ".pair figure:first-child .sound"), all_of(first, ".stretch")
    box, own = (browser.execute_script(VISIBLE, part) for part in (sound, mark))
    assert (own["x"] - box["x"]) / box["width"] == pytest.approx(0.6, abs=0.01)  # the window is 35 to 45 s
    assert own["width"] / box["width"] == pytest.approx(0.3, abs=0.01)
    bars = {bar.size["width"]: bar.location["y"] for bar in all_of(first, ".bands i")}
    share = 1 - (bars[max(bars)] - box["y"]) / box["height"]  # of the height, on the mel scale
    assert share == pytest.approx(np.log10(1 + 3_000 / 700) / np.log10(1 + 8_000 / 700), abs=1 / 10)
    players = all_of(first, "audio")
    assert len(players) == 2
    for player in players:
        browser.execute_script("arguments[0].play()", player)
        wait_for(lambda player=player: player.get_property("currentTime") > 0.1, "the playing", seconds=60)
        assert player.get_property("duration") == pytest.approx(4, abs=0.1)
        assert player.get_property("error") is None
        browser.execute_script("arguments[0].pause()", player)
    (course,) = all_of(first, ".chart")
    assert course.size["height"] > 50
    assert browser.get_log("browser") == []


def test_without_a_server_labels_are_kept_and_saved_as_a_file(browser, folder, tmp_path):
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path / "got")}
    )
    address = (folder / "index.html").as_uri()
    first, second, _ = look(browser, address)
    files = [json.loads(card.get_attribute("data-file")) for card in (first, second)]
    (save,) = all_of(browser, "#save")
    assert not save.is_displayed()
    click(first, "button", 1)
    click(second, "button", 0)
    assert (pressed(first), pressed(second)) == (["bad"], ["healthy"])
    first, second, _ = look(browser, address)  # opened again another day
    assert (pressed(first), pressed(second)) == (["bad"], ["healthy"])
    click(browser, "#save", 0)
    wait_for((tmp_path / "got" / LABELS).exists, "the saving", seconds=60)
    assert labels(tmp_path / "got") == dict(zip(files, ["bad", "healthy"], strict=True))


def test_the_newest_label_of_a_recording_is_shown_and_saved_with_its_time(browser, folder, tmp_path):
    got = str(tmp_path / "got")
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": got})
    page, address = folder / "index.html", (folder / "index.html").as_uri()
    first, second, _ = look(browser, address)
    files = [json.loads(card.get_attribute("data-file")) for card in (first, second)]
    click(first, "button", 1)
    click(second, "button", 1)
    before = time.time()
    time.sleep(0.01)
    add_label(folder, files[0], "healthy")  # by humtune review
    older = {files[1]: Label("unsure", before - 1_000)}
    page.write_bytes(with_labels(page.read_bytes(), read_labels(folder) | older))
    first, second, _ = look(browser, address)
    assert (pressed(first), pressed(second)) == (["healthy"], ["bad"])
    click(browser, "#save", 0)
    wait_for((tmp_path / "got" / LABELS).exists, "the saving", seconds=60)
    assert labels(tmp_path / "got") == dict(zip(files, ["healthy", "bad"], strict=True))
    times = [read_labels(tmp_path / "got")[name].time for name in files]
    assert times[0] == pytest.approx(read_labels(folder)[files[0]].time, abs=0.002)
    assert before - 60 < times[1] < before


def test_with_a_server_a_click_and_a_key_are_in_the_labels(browser, folder):
    with Review(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        first, second, _ = look(browser, server.address)
        files = [json.loads(card.get_attribute("data-file")) for card in (first, second)]
        click(first, "button", 2)
        wait_for(lambda: pressed(first) == ["unsure"], seconds=60)
        assert labels(folder) == {files[0]: "unsure"}
        browser.execute_script("document.activeElement.blur()")
        body = browser.find_element("css selector", "body")
        body.send_keys("j")
        browser.switch_to.active_element.send_keys("j")
        browser.switch_to.active_element.send_keys("b")
        wait_for(lambda: pressed(second) == ["bad"], seconds=60)
        assert labels(folder) == dict(zip(files, ["unsure", "bad"], strict=True))
        assert not all_of(browser, "#save")[0].is_displayed()
        log_path(folder).unlink()
        click(first, "button", 0)
        (told,) = all_of(browser, "#saving")
        wait_for(lambda: "Not saved: no such recording in the log" in told.text, seconds=60)
        assert pressed(first) == ["unsure"]
        server.shutdown()
        thread.join()


def test_it_reads_on_a_phone_and_in_print(browser, folder):
    first, *_ = look(browser, (folder / "index.html").as_uri(), width=390, height=844)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    for part in all_of(browser, "h2, p, img, audio, button, .chart, figcaption"):
        box = browser.execute_script(VISIBLE, part)
        assert box["left"] >= 0, part.tag_name
        assert box["right"] <= 390, part.tag_name
    for button in all_of(first, "button"):
        assert button.size["height"] >= 44  # a finger's
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not any(part.is_displayed() for part in all_of(browser, "audio, button"))
        assert all(part.is_displayed() for part in all_of(browser, "h2, img, .stretch"))
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
