from tests.trained_runs import config, on_files, pictures, runs  # noqa: F401 - fixtures
