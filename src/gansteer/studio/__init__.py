"""The studio: steering in a browser. `protocol.py` says what page and server tell each other."""
