"""What holds for all tests."""

import signal

# A shell starts background jobs with SIGINT ignored, and their children inherit that: tests of Ctrl-C would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)
