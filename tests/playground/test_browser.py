"""The page in a real browser: one server and one browser for all."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from lmlab.applying.opening import open_applier
from lmlab.data.task import RankingDecoding, SamplingDecoding, SamplingSettings
from tests.applying.tiny_bundles import tiny_bundle
from tests.pipelines.tiny import kill_group, new_project, start_command

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no chromium with its chromedriver"),
]
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
QUIET = ("--disable-background-networking", "--disable-component-update")
SECONDS = 30
GREEDY = SamplingSettings(temperature=0, top_k=0, top_p=1)
LONG = SamplingDecoding(name="sampling", max_new_tokens=2000, sampling=GREEDY)
HOSTILE = "<img src=x onerror=document.title=1> ${1+1} {{1+1}}"
# More than a page shows, most of them hostile.
LABELS = [*(f"{HOSTILE} {number}" for number in range(6)), *(f"label {number}" for number in range(6))]
# Keeps how long the written text was at each change.
WATCH = """
window.lengths = [];
new MutationObserver(() => window.lengths.push(document.querySelector('#panel-0 .lm-written')?.textContent.length ?? 0))
    .observe(document.querySelector('#panel-0'), {subtree: true, childList: true, characterData: true});
"""


class Site(NamedTuple):
    """Where the page is, and the folder of its models."""

    address: str
    project: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    project = new_project(tmp_path_factory.mktemp("play") / "project")
    tiny_bundle(project / "writer", "language_modeling", decoding=LONG)
    tiny_bundle(project / "other", "language_modeling", model="lstm")
    tiny_bundle(project / "labels", "classification", choices=LABELS, decoding=RankingDecoding(name="ranking"))
    tiny_bundle(project / "translator", "translation")
    models = ("writer", "other", "labels", "translator")
    process = start_command(project, "play", "--port", "0", "--model", *models)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, process.stdout.read()
        yield Site(found.group(), project)
    finally:
        kill_group(process)
        if process.stdout:
            process.stdout.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = Options()
    options.binary_location = str(BROWSER)
    for argument in (*ARGUMENTS, *QUIET, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


class Page:
    """The open page."""

    def __init__(self, driver: Chrome, site: Site) -> None:
        self.driver = driver
        driver.get(site.address)
        self.wait("#about-1", "other|Language modeling")

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        # In one step, as the page may change meanwhile.
        script = "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim()).join('\\n')"
        return str(self.driver.execute_script(script, selector))

    def wait(self, selector: str, pattern: str) -> str:
        """The text of what is there as soon as it has this pattern."""
        WebDriverWait(self.driver, SECONDS, 0.05).until(lambda _: re.search(pattern, self.text(selector)))
        return self.text(selector)

    def element(self, selector: str) -> WebElement:
        """What is there, as soon as it is shown."""
        WebDriverWait(self.driver, SECONDS, 0.05).until(
            lambda _: any(one.is_displayed() for one in self.find(selector))
        )
        return self.find(selector)[0]

    def click(self, selector: str) -> None:
        self.element(selector).click()

    def type(self, selector: str, *text: str) -> None:
        """In place of what stands there."""
        self.element(selector).send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, *text)

    def choose(self, number: int, name: str, about: str) -> None:
        """Choose a model by its name, and wait for what the page says about it."""
        self.click(f"#model-{number} input")
        WebDriverWait(self.driver, SECONDS, 0.05).until(lambda _: self._option(name))
        option = self._option(name)
        assert option is not None
        option.click()
        self.wait(f"#about-{number}", about)

    def _option(self, name: str) -> WebElement | None:
        return next((one for one in self.find("[role=option]") if one.get_attribute("aria-label") == name), None)


@pytest.fixture
def page(browser: Chrome, site: Site) -> Page:
    return Page(browser, site)


def test_two_models_answer_side_by_side_as_they_write(page: Page, site: Site) -> None:
    page.driver.execute_script(WATCH)
    page.type("#field-0 textarea", "the cat")
    page.click("#ask")
    page.wait("#panel-1", "tokens? in")
    for number, name in enumerate(("writer", "other")):
        # Both are asked with the settings of the first.
        [reply] = open_applier(site.project / name).answer([{"text": "the cat"}], decoding=LONG)
        assert page.text(f"#panel-{number} .lm-answer") == "the cat" + reply.text
    lengths = page.driver.execute_script("return window.lengths")
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3


def test_labels_are_shown_with_their_probabilities(page: Page) -> None:
    page.choose(1, "no other model", "^$")
    page.choose(0, "labels", "Classification")
    page.type("#field-0 textarea", "the bird", Keys.SHIFT, Keys.ENTER)
    said = page.wait("#panel-0", "12 labels ranked")
    assert len(page.find("#panel-0 .lm-bar")) == 10
    assert "2 more labels" in said
    assert HOSTILE in page.text("#panel-0 .lm-label")
    assert not page.find("#panel-0 img")
    assert page.driver.title == "lmlab playground"


def test_attention_is_drawn_and_taken_away(page: Page) -> None:
    page.choose(1, "no other model", "^$")
    page.choose(0, "translator", "Translation.*run by onnxruntime")
    page.type("#field-0 textarea", "the dog sees")
    page.click("#attention input")
    page.click("#ask")
    page.wait("#panel-0", "Where the model looks")
    assert page.text("#panel-0 th[scope=col]").split() == ["the", "dog", "s", "ee", "s"]
    assert len(page.find("#panel-0 td[title]")) == 5 * len(page.find("#panel-0 th[scope=row]"))
    page.click("#attention input")
    WebDriverWait(page.driver, SECONDS).until(lambda _: not page.find("#panel-0 table"))


def test_a_fault_is_one_line(page: Page) -> None:
    page.choose(0, "translator", "Translation")
    assert "this model asks for text, the first one for source" in page.wait("#about-1", "compare two")
    page.type("#field-0 textarea", "")
    page.click("#ask")
    assert page.wait("#panel-0 .lm-error", ".") == "source: is empty; give the text that the model is to answer"
    page.choose(0, "writer", "Language modeling")
    page.type("#field-0 textarea", "the cat " * 60)
    page.click("#ask")
    assert "the model reads 64 at most before an answer" in page.wait("#panel-0 .lm-error", ".")


def test_nothing_comes_from_elsewhere_and_nothing_is_wrong(page: Page, site: Site) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert len([url for url in asked if url.startswith(f"{site.address}/")]) > 10
    # The browser's own first page is not ours.
    own = (f"{site.address}/", "data:", "blob:", "chrome:")
    assert [url for url in asked if not url.startswith(own)] == []
    # Gradio itself logs that it closes its stream.
    logged = [entry["message"] for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert [line for line in logged if "AbortError" not in line and "Connection errored out" not in line] == []


def test_a_narrow_window_has_no_sideways_scroll(page: Page) -> None:
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    page.choose(1, "no other model", "^$")
    page.choose(0, "translator", "Translation")
    page.type("#field-0 textarea", "the dog sees the tree and the bird sees the cat and the dog")
    page.click("#attention input")
    page.click("#ask")
    page.wait("#panel-0", "Where the model looks")
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 400
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
