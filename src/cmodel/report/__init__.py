"""Reports: the facts of a container or of a sweep, as JSON data and as a page of HTML."""

from cmodel.report.container_facts import container_facts, output_errors
from cmodel.report.container_page import container_page
from cmodel.report.rate_accuracy import rate_accuracy_svg
from cmodel.report.sweep_facts import read_sweep, sweep_facts
from cmodel.report.sweep_page import sweep_page

__all__ = [
    "container_facts",
    "container_page",
    "output_errors",
    "rate_accuracy_svg",
    "read_sweep",
    "sweep_facts",
    "sweep_page",
]
