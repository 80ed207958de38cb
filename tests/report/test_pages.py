"""The report's page in a browser."""

import pytest
from chromium import PHONE, look, readable
from searches import Bench, clip_table

from humtune.report.write import write_report

LONG = "the pump in the cellar of the old building, the one beside the stairs_number_3"


@pytest.mark.integration
def test_it_fits_a_telephone_and_a_desk(bench: Bench, browser) -> None:
    names = ("fan", LONG.replace(" ", "_"), LONG)
    ledger = bench.search(clips={name: clip_table(name) for name in names})
    for name in names:
        for number in range(2):
            bench.trial(ledger, name, number, skill=number)
    write_report(ledger)
    page = ledger.storage.path("fans/report/table.html")
    readable(browser, page)
    look(browser, page, PHONE)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": PHONE, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    cell = browser.find_element("css selector", "table.many td")
    before = browser.execute_script("return getComputedStyle(arguments[0], '::before').content", cell)
    assert (cell.text, before) == ("fan", '"machine"'), "each cell tells its column"
