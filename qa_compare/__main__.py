"""The command line: python -m qa_compare ask | predict | convert | evaluate | speed | paired | results | …"""

import io
import sys

from qa_compare.cli.program import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a passage's letters ends nothing
    sys.exit(main())
