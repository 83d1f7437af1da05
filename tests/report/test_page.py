import pandas as pd
import pytest

from coala_kedro.report.page import Study, environment
from coala_kedro.report.plots import nothing, panels, svg

SCANS = pd.DataFrame({"model": "a", "cohort": "internal", "scan_id": ["a_pre", "<b>"], "n": [3, 4]})


@pytest.fixture(scope="module")
def study():
    figure, _ = panels(["</script> & more"], "x", "y")
    figures = {"some": svg(figure, "some"), "none": svg(nothing("No scan < 3."), "none")}
    return Study({"scan_metrics": SCANS}, figures, {})


@pytest.fixture(scope="module")
def rendered(study):
    def render(text):
        names = "{% from 'macros.html.j2' import table, plot, folded, cite with context %}"
        return environment().from_string(names + text).render(study=study)

    return render


def test_a_table_tells_its_csv_and_each_value_its_line(rendered):
    shown = rendered(
        "{{ table('Some & all.', study['scan_metrics'].table({'scan_id': 'scan', 'n': 'lesions'}))"
        " }}"
    )
    assert 'Some &amp; all. <span class="source">scan_metrics.csv</span>' in shown
    assert '<td><data value="4" data-at="scan_metrics.csv, line 3, n">4</data></td>' in shown
    assert "&lt;b&gt;" in shown


def test_a_plot_is_an_svg_with_its_caption(rendered):
    shown = rendered("{{ plot('some', 'Dice & more.') }}")
    assert 'aria-label="Dice &amp; more."><svg' in shown
    assert "&lt;/script&gt; &amp; more" in shown


def test_a_plot_without_anything_to_show_is_words(rendered):
    assert '<span class="none">No scan &lt; 3.</span>' in rendered("{{ plot('none', 'Dice.') }}")


def test_a_reference_is_cited_by_its_number(rendered):
    assert rendered("{{ cite('nnunet') }}").strip() == '<sup><a href="#ref-2">2</a></sup>'


def test_something_long_is_folded_away(rendered):
    shown = rendered("{% call folded('More & more') %}<p>Words.</p>{% endcall %}")
    assert "<summary>More &amp; more</summary>" in shown
    assert "<p>Words.</p>" in shown
