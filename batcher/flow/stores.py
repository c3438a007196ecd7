# ruff: noqa: PLC0415 - obstore is an extra: it is imported where an object is named
"""Which store an address means, and what its errors say in words.

obstore's own texts hold addresses, credentials among them, and whatever a store has answered: none of them is shown.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from batcher.core.fingerprint import input_name
from batcher.errors import SettingsError

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, HTTPStore, RetryConfig, S3Store

    Store: TypeAlias = S3Store | GCSStore | AzureStore | HTTPStore

_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "timeout": timedelta(days=1),  # of a whole answer, which takes as long as the run is busy with it
}
EAGER: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
PATIENT: RetryConfig = {"max_retries": 10, "retry_timeout": timedelta(minutes=3)}

_SCHEME = re.compile(r"(s3|gs|az|https?)://", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_CREDENTIALS = {
    "s3": "credentials are read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or given by the"
    " identity of the machine or Pod",
    "gs": "credentials are read from the file that GOOGLE_APPLICATION_CREDENTIALS names, or given by the identity of"
    " the machine or Pod",
    "az": "credentials are read from AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or given by the"
    " identity of the machine or Pod",
    "https": "the address must carry what the server asks for, as a presigned one does, and may have expired",
}
_SETTINGS = {
    "s3": "see AWS_REGION and AWS_ENDPOINT_URL",
    "gs": "see GOOGLE_APPLICATION_CREDENTIALS and GOOGLE_BASE_URL",
    "az": "see AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ENDPOINT",
    "https": "see the address",
}
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
EXTRA = "pip install 'veetro-batch[objects]'"


def is_object(path: str) -> bool:
    """Whether *path* is the address of an object: ``s3://``, ``gs://``, ``az://``, ``https://`` or ``http://``."""
    return _SCHEME.match(path) is not None


def scheme_of(address: str) -> str:
    """Its scheme; ``https`` for web servers of both kinds."""
    scheme = address.partition(":")[0].lower()
    return "https" if scheme == "http" else scheme


def open_store(address: str, option: str, *, patient: bool) -> tuple[Store, str]:
    """The store of the object at *address*, and the object's name in it. Nothing is asked of it yet.

    Args:
        address: of the object.
        option: what holds the address, for errors.
        patient: requests are repeated for minutes, not for seconds.

    Raises:
        SettingsError: the address names no object, the store needs other settings, or obstore is not installed.
    """
    name = input_name(address)
    try:
        from obstore import store as stores
        from obstore.exceptions import BaseError
    except ImportError as error:
        problem = f"{name} is an object, and what reads objects is not installed"
        raise SettingsError(option, problem, EXTRA) from error
    scheme = scheme_of(address)
    retries = PATIENT if patient else EAGER
    host, key = _taken_apart(address, scheme)
    if not host or not key or key.endswith("/"):
        problem = f"{name} names no object"
        raise SettingsError(option, problem, "write scheme, bucket and key, such as s3://bucket/records.ndjson")
    try:
        client: ClientConfig = {
            **_CLIENT,
            "read_timeout": timedelta(seconds=60 if patient else 10),  # without a byte
            "allow_http": _is_clear_text_allowed(address, scheme),
        }
        if scheme == "s3":
            return stores.S3Store(host, client_options=client, retry_config=retries), key
        if scheme == "gs":
            return stores.GCSStore(host, client_options=client, retry_config=retries), key
        if scheme == "az":
            return stores.AzureStore(host, client_options=client, retry_config=retries), key
        return stores.HTTPStore.from_url(host, client_options=client, retry_config=retries), key
    except (BaseError, OSError, ValueError) as error:
        problem = f"{name}: the settings of its store are wrong or not complete"
        raise SettingsError(option, problem, _SETTINGS[scheme]) from error


def _is_clear_text_allowed(address: str, scheme: str) -> bool:
    """What obstore would find out by itself, were it given no other option of the client."""
    if scheme == "https":
        return address[:5].lower() == "http:"
    prefix = _PREFIXES[scheme]
    return os.environ.get(f"{prefix}_ALLOW_HTTP", "").lower() in ("true", "1", "yes", "on")


def _taken_apart(address: str, scheme: str) -> tuple[str, str]:
    """Bucket and key; of an address on the web the server's with its query, and the path."""
    if scheme != "https":
        bucket, _, key = address.partition("://")[2].partition("/")
        return bucket, key
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    # The query stays with the server's address: it is sent with every request, as a signature has to be.
    query = f"?{parts.query}" if parts.query else ""
    return (f"{parts.scheme}://{parts.netloc}/{query}" if parts.netloc else ""), unquote(parts.path).removeprefix("/")


def status_of(error: Exception) -> int | None:
    """The status with which a store has refused a request; None where it was another error."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def in_words(error: Exception, address: str, *, write: bool = False) -> str:
    """What an *error* of obstore says about the object at *address*, and what to do; without what it quotes."""
    from obstore import exceptions

    scheme, text, status = scheme_of(address), str(error), status_of(error)
    code = _CODE.search(text)
    said = " ".join(filter(None, (str(status or ""), code[1] if code else "")))
    if isinstance(error, FileNotFoundError):
        bucket = code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound")
        return f"there is no such {'bucket' if bucket else 'object'}; {_SETTINGS[scheme]}"
    denied = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
    if denied or status in (401, 403) or "Credential" in text or "metadata" in text:
        may = "" if write or scheme == "https" else ", or there is no such object and it may not tell"
        return f"access is denied ({said or 'no credentials were found'}){may}; {_CREDENTIALS[scheme]}"
    if status is not None:
        return f"its store answers {said}; {_SETTINGS[scheme]}"
    if "BadScheme" in text:
        return f"its store is asked over plain http; use https, or allow it with {_PREFIXES[scheme]}_ALLOW_HTTP=true"
    if isinstance(error, exceptions.InvalidPathError | ValueError):
        return "its name has parts that cannot be asked for: nothing between two slashes, or . or .."
    if isinstance(error, exceptions.NotSupportedError):
        return "its server does not answer requests for a part of it"
    if "kind: Timeout" in text or "TimedOut" in text:
        return f"its store does not answer in time; {_SETTINGS[scheme]}"
    if "kind: Connect" in text:
        return f"its store cannot be reached; {_SETTINGS[scheme]}"
    return f"its store cannot be read ({type(error).__name__}); {_SETTINGS[scheme]}"
