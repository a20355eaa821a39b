"""The one exception that a user's mistake raises."""


class UserError(ValueError):
    """Something the person can put right. The message is one line that says what to do; the CLI exits with 2."""
