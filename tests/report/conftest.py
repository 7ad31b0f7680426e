from tests.report.report_runs import config, hostile, stages, trained  # noqa: F401 - fixtures
