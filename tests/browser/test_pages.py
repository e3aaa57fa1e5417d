"""Every page of the built book, wide and narrow, light and dark, served and from files."""

import pytest
from axe_playwright_python.sync_playwright import Axe

LOOKS = [(1280, "light"), (390, "dark")]

FINISH_MATH = "() => window.MathJax ? MathJax.startup.promise.then(() => true) : true"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Equations and tables wider than the page's column must scroll inside a box of their own.
LOOSE_MATH = """() => [...document.querySelectorAll('article mjx-container')].filter((math) => {
  const column = document.querySelector('article').getBoundingClientRect();
  const holder = math.closest('div.math, .cell_output, .pst-scrollable-table-container') ?? math;
  return holder.getBoundingClientRect().right > column.right + 1;
}).map((math) => math.getAttribute('aria-label') ?? math.textContent.slice(0, 80))"""


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_page_is_whole(open_page, address, book_page, width, scheme):
    page = open_page(address + book_page, width, color_scheme=scheme)
    page.wait_for_function(FINISH_MATH)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, "MathJax could not read an equation"
    assert page.evaluate(OVERFLOW) == 0, "the page scrolls sideways"
    assert page.evaluate(LOOSE_MATH) == []
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    page.wait_for_function("n => document.querySelectorAll('.stepper[data-drawn]').length === n", arg=views)


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_our_content_is_accessible(open_page, served, book_page, width, scheme):
    page = open_page(served + book_page, width, color_scheme=scheme)
    page.wait_for_function(FINISH_MATH)
    # Without `preload`, axe would ask for the style sheets again, at addresses that are not theirs.
    found = Axe().run(page, context={"include": [["article"]]}, options={"preload": False}).response
    assert [f"{v['id']}: {node['html'][:200]}" for v in found["violations"] for node in v["nodes"]] == []
