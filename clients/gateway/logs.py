"""Logs: one JSON object per line on standard error, with the id of the request."""

import json
import logging
import sys
from datetime import UTC, datetime

FIELDS = (
    *("request_id", "method", "path", "status", "outcome", "seconds", "pictures", "bytes", "key", "peer"),
    *("problem", "detail"),
)


class JsonLines(logging.Formatter):
    """Formats a record as JSON, without bodies, headers and keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start(level: str) -> None:
    """Formats all log records this way, those of libraries too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
