"""The pages in a headless Chromium: no overflow, no complaint, nothing from the network."""

from __future__ import annotations

import json

import pytest
from tests.chromium import Chromium, find_chromium
from tests.nets import toy_net

import cmodel
from cmodel.container import Container
from cmodel.report import container_facts, container_page, sweep_facts, sweep_page

PHONE, DESKTOP = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def browser():
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with Chromium(path) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    original = toy_net()
    cmodel.save(cmodel.compress(original, "deep-compression"), folder / "x.cmodel")
    facts = container_facts(Container(folder / "x.cmodel"), original)
    facts["name"] = "<script>throw 1</script>" + "long" * 40
    facts["layers"][0]["name"] = "<img src=http://127.0.0.1:9/ onerror=throw>" * 4
    (folder / "container.html").write_text(container_page(facts))
    rows = [
        {
            "net": net,
            "trained": True,
            "method": f"method.{i % 11}" + "-with-a-name" * (i % 3),
            "label": f"<script>throw {i}</script>",
            "ratio": 2 + i,
            "bytes": 100000 // (2 + i),
            "loss": i * i / 100,
            "interval": [i * i / 100 - 0.1, i * i / 100 + 0.1],
            "weights_sha256": "ab" * 32,
        }
        for net in ("one", "net" * 60)
        for i in range(40)
    ]
    (folder / "sweep.html").write_text(sweep_page(sweep_facts(rows)))
    return folder


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", ["container", "sweep"])
def test_a_page_fits_and_keeps_to_itself(browser, pages, name, size, dark):
    page = pages / f"{name}.html"
    browser.open(page, *size, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") == size[0]
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]
    assert browser.value("document.querySelectorAll('script').length") == 0
    # The theme is applied: ground and ink change places.
    colours = browser.value(
        "JSON.stringify(Object.values((({color,backgroundColor})=>"
        "({color,backgroundColor}))(getComputedStyle(document.body))))"
    )
    ink, ground = (sum(map(int, c[4:-1].split(","))) for c in json.loads(colours))
    assert (ink > ground) == dark


@pytest.mark.parametrize("name", ["container", "sweep"])
def test_one_chart_is_shown_at_each_size(browser, pages, name):
    for size in (PHONE, DESKTOP):
        browser.open(pages / f"{name}.html", *size)
        hidden = browser.value(
            "[...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('svg')]"
            ".filter(s => s.getBoundingClientRect().width > 0).length).join()"
        )
        assert set(hidden.split(",")) == ({"1"} if name == "sweep" else {""})


@pytest.mark.parametrize("name", ["container", "sweep"])
def test_a_page_prints(browser, pages, name):
    browser.open(pages / f"{name}.html", *DESKTOP, dark=True)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 10_000
