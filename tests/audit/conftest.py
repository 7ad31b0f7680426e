from tests.audit.cleaned_run import cleaned  # noqa: F401 - fixture
from tests.trained_runs import config, on_files, pictures, runs  # noqa: F401 - fixtures
