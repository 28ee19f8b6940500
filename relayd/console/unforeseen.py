"""What nobody foresaw, in the log."""

import secrets

import structlog
from starlette.requests import Request

_log = structlog.get_logger(__name__)


def log_unforeseen(request: Request, error: Exception) -> str:
    """Log an error of ours, and return the reference by which the log has it."""
    reference = secrets.token_hex(4)
    _log.error(
        "console_failed",
        reference=reference,
        method=request.method,
        path=request.url.path,
        exc_info=error,
        fault="local",
    )
    return reference
