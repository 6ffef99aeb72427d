"""`python -m serving`: says whether a tritonserver can run here, before anything is installed.

Needs the standard library alone.
"""

import sys

from serving.errors import ServingError
from serving.install import check_machine
from serving.own_server import find_program

try:
    find_program() or check_machine()
except ServingError as error:
    sys.exit(f"signs: {error}")
