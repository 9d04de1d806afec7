"""Errors that a user can act on."""


class InputError(ValueError):
    """A fault in what the user gave: a file, a field, a config key.

    The message is complete by itself: it names the file, the field or the config key at fault and
    says what to do. Command-line tools print it without a traceback and end with the status 2.
    """
