"""What the user did wrong and what to do next; raised anywhere, turned into one line at the CLI."""


class TunebenchError(Exception):
    """Base of every error that a user can cause; its text is one line and says what to do next."""

    exit_code = 2


class UsageError(TunebenchError):
    """A wrong name, value or combination of options."""


class DataError(TunebenchError):
    """A data set that is missing, truncated, corrupt or unfit for the task."""


class PluginError(TunebenchError):
    """A plugin that does not load, or whose tuners clash with another plugin's."""


class InvalidOutput(TunebenchError):
    """A tuner returned something that cannot be scored: status ``invalid`` of its cell."""


class Inapplicable(TunebenchError):
    """What was asked for is not for this network, or not for this machine: status ``skipped`` of its cells."""


class StoreError(TunebenchError):
    """The output folder or the cache cannot be read or written."""


class Interrupted(KeyboardInterrupt):
    """Somebody has interrupted us: the key was pressed. What a library raises is a plain KeyboardInterrupt."""


class Terminated(BaseException):
    """We were asked to end."""


ENDED = (Interrupted, Terminated)
"""What no handler of other people's errors may take for one of them."""


class HostFault(TunebenchError):
    """A machine could not do its part of a cell, its cache was cleared, say: never a result of the tuner's."""
