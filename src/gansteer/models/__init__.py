"""Networks only: nothing here reads files or knows where weights came from."""
