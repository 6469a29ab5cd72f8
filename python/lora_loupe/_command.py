"""The command ``lora-loupe``."""

import signal
import sys

from . import _native


def main() -> int:
    """Run the command line with the arguments of this process."""
    # The command runs outside of Python, which would hear of Ctrl-C only at its end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run(["lora-loupe", *sys.argv[1:]])
