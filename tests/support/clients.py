"""Clients of boto3, all made from one session: each session of its own would read the services' models anew, for a tenth of
a second of processor time."""

from __future__ import annotations

import threading
from typing import Any

import boto3

_session = boto3.session.Session()
_making = threading.Lock()  #: a session is not for several threads at once; its clients are


def client(service: str, **options: Any) -> Any:
    with _making:
        return _session.client(service, **options)
