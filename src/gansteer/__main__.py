"""`python -m gansteer`, which is how torchrun starts it."""

import sys

from gansteer.cli import main

if __name__ == "__main__":
    sys.exit(main())
