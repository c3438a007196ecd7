"""Passwords and session keys, from their files or from the settings."""

from __future__ import annotations

from batcher.errors import SettingsError
from batcher.flow.session import Credentials
from batcher.options.texts import PASSWORD, SESSION_KEY
from batcher.settings import Settings
from batcher.values import Secret


def read_secrets(settings: Settings) -> tuple[Credentials | None, Secret | None]:
    """Name and password for a login, or a session key; or neither.

    Raises:
        SettingsError: a file cannot be read, or holds none.
    """
    if settings.email is not None:
        password = settings.password
        if settings.password_file is not None:
            password = read_secret(settings.password_file, "--password-file")
        if password is not None:
            return Credentials(settings.email, password), None
    if settings.session_file is not None:
        return None, read_secret(settings.session_file, "--session-file")
    return None, settings.session


def read_secret(path: str, option: str) -> Secret:
    """The password or session key in the file at *path*, which *option* names.

    Raises:
        SettingsError: it cannot be read, or holds none.
    """
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path is a text here, as everywhere in settings
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(option, f"{path} cannot be read: {reason}") from error
    kind = SESSION_KEY if option == "--session-file" else PASSWORD
    return kind.read(text, option)
