"""``python -m lora_loupe`` is the command ``lora-loupe``."""

import sys

from ._command import main

sys.exit(main())
