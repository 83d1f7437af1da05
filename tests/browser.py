"""The report in a real browser: Debian's Chromium, driven by Playwright."""

import io
import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is installed: apt-get install chromium"
)


class Opened:
    """A page in the browser.

    Attributes:
        page: Playwright's.
        requests: Everything that was asked for, the page's own file among it.
        complaints: What the console and uncaught errors said.
    """

    def __init__(self, page):
        self.page, self.requests, self.complaints = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def scroll_through(self):
        """Unfold and look at all of the page."""
        unfold = "document.querySelectorAll('details').forEach((one) => (one.open = true))"
        self.page.evaluate(unfold)
        place, step = 0, 600
        while place < self.page.evaluate("document.documentElement.scrollHeight"):
            self.page.evaluate(f"window.scrollTo({{top: {place}, behavior: 'instant'}})")
            self.page.wait_for_timeout(60)
            place += step
        self.page.wait_for_timeout(300)

    def plots(self):
        """The figures, by their anchors."""
        return {
            plot.get_attribute("id"): plot.locator("svg")
            for plot in self.page.locator("figure.plot").all()
        }

    def pdf_text(self):
        """The text of the page as it is printed."""
        from pypdf import PdfReader

        printed = self.page.pdf(prefer_css_page_size=True, print_background=True)
        pages = PdfReader(io.BytesIO(printed)).pages
        return "\n".join(page.extract_text() for page in pages)


@contextmanager
def opened(path, scripts=True):
    """Open a file in a window of a desktop's width."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1280, "height": 900}, java_script_enabled=scripts
        )
        shown = Opened(page)
        page.goto(path.resolve().as_uri())
        yield shown
        browser.close()


def check_in_browser(path, titles):
    """The page asks for nothing but itself, complains of nothing, fits, is drawn and prints.

    In the window of a telephone only tables scroll sideways.
    """
    with opened(path) as shown:
        shown.scroll_through()
        assert shown.requests == [path.resolve().as_uri()]
        assert shown.complaints == []
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 1280
        plots = shown.plots()
        assert len(plots) > 5
        for name, plot in plots.items():
            assert plot.is_visible(), name
            assert plot.bounding_box()["height"] > 50, name
        shown.page.set_viewport_size({"width": 480, "height": 900})
        shown.page.wait_for_timeout(500)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 480
        text = shown.pdf_text()
        for title in titles:
            assert title in text
        assert "protocol.optimiser.momentum" in text, "what is folded away is printed"
