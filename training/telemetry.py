"""No library of this project calls home. Its packages set this before they import one."""

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on would keep what it runs, and send it to its vendor
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # the import would ask the network for a newer version
    "DO_NOT_TRACK": "1",  # what others have agreed on
}


def disable_telemetry() -> None:
    """Switches off what libraries would send, here and in what is started; what the user has set stays."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
