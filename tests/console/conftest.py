"""For tests of the console in the process of the test."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_tracebacks() -> None:
    """An error of ours is told without the variables of up to 100 frames, which takes seconds to write.

    So does the log of the console itself; what structlog does by itself is for people who look for a mistake.
    """
    render = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], render])
