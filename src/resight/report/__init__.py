"""The page that shows what a run found and what proves it: one file, no scripts, nothing loaded from elsewhere."""

from resight.report.data import Evidence, ReportData
from resight.report.page import render_report

__all__ = ["Evidence", "ReportData", "render_report"]
