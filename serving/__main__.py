"""`python -m serving`: checks whether this machine can run a tritonserver; installs nothing.

Needs only the standard library.
"""

import sys

from serving.errors import ServingError
from serving.install import check_machine
from serving.own_server import find_program

try:
    find_program() or check_machine()
except ServingError as error:
    sys.exit(f"signs: {error}")
