"""Images in a registry elsewhere, by the distribution API (OCI distribution specification 1.1), anonymous or with a password.

A password goes to the registry itself and to the token service that it names, over TLS or on its own host; never to where a
registry sends one for the bytes.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from lambdad.images.document import ACCEPTED, MOST_BYTES, Descriptor, MalformedImage
from lambdad.images.reference import DIGEST
from lambdad.images.source import MissingImage
from lambdad.images.web import Answer, Web, WebTrouble
from lambdad.model.image import Registry

_PIECE_BYTES = 1 << 20
DOCUMENT_SECONDS = 30.0  #: for what says what an image is
PULL_SECONDS = 900.0  #: for its layers
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')
T = TypeVar("T")


class RegistryRepository:
    """`images.source.ImageSource` over one repository of a registry."""

    is_remote = True
    is_checked = False

    def __init__(
        self,
        registry: Registry,
        repository: str,
        *,
        seconds: float = DOCUMENT_SECONDS,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """After so many seconds nothing more comes: MissingImage, whatever the registry was about to send. `ended` is called
        after `close`, as soon as its thread does nothing any more: a host that does not answer may hold it a while longer."""
        self._registry = registry
        self._repository = repository
        self._base = f"{'http' if registry.is_insecure else 'https'}://{registry.host}/v2/{repository}/"
        self._authorization = ""
        self._threads = ThreadPoolExecutor(1, "registry")
        self._web = Web()
        self._seconds = seconds
        self._ends: float | None = None
        self._ended = ended
        self._work: asyncio.Future[Any] | None = None  #: what the thread does, or did last

    async def document(self, name: str | None) -> tuple[bytes, str]:
        return await self._in_thread(lambda: self._document(name or "latest"))

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        if not DIGEST.fullmatch(descriptor.digest):
            raise MalformedImage(f"{descriptor.digest[:80]!r} is not a digest")
        answer = await self._in_thread(lambda: self._get(f"blobs/{descriptor.digest}", {}))
        try:
            while piece := await self._in_thread(lambda: _read(answer, _PIECE_BYTES)):
                yield piece
        finally:
            answer.close()

    async def close(self) -> None:
        self._web.break_off()
        self._threads.shutdown(wait=False)
        if self._work is None or self._work.done():
            self._ended()
        else:
            self._work.add_done_callback(lambda _: self._ended())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        if self._ends is None:
            self._ends = loop.time() + self._seconds
        done = loop.run_in_executor(self._threads, work)
        self._work = done
        try:
            async with asyncio.timeout_at(self._ends):
                return await asyncio.shield(done)
        except BaseException as error:
            if not done.done():  # it ends by itself now, and nobody waits for it
                self._web.break_off()
                done.add_done_callback(_forget)
            if isinstance(error, TimeoutError):
                raise MissingImage(f"{self._registry.host} has not sent it within {self._seconds:.0f} seconds") from error
            raise

    def _document(self, name: str) -> tuple[bytes, str]:
        answer = self._get(f"manifests/{name}", {"Accept": ", ".join(ACCEPTED)})
        data = _read(answer, MOST_BYTES + 1)
        answer.close()
        if len(data) > MOST_BYTES:
            raise MalformedImage(f"its manifest has more than {MOST_BYTES} bytes")
        return data, answer.headers.get("content-type", "")

    def _get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The answer, its body unread. Once more with a token where the registry asks for one."""
        url = urljoin(self._base, path)
        answer = self._follow(url, headers)
        if answer.status == 401:  # nothing was said yet, or a token whose time is over
            answer.close()
            self._authorization = self._authorized(answer.headers.get("www-authenticate", ""))
            answer = self._follow(url, headers)
        if answer.status == 200:
            return answer
        reason = _read(answer, 4096)
        answer.close()
        what = f"{self._registry.host}/{self._repository} answered {answer.status} for {path}"
        raise MissingImage(f"{what}: {_message(reason)}" if reason else what)

    def _follow(self, url: str, headers: Mapping[str, str]) -> Answer:
        sent = {**headers, **({"Authorization": self._authorization} if self._authorization else {})}
        for _ in range(_MOST_REDIRECTS):
            answer = self._send(url, sent)
            if answer.status not in _REDIRECTS:
                return answer
            target = urljoin(url, answer.headers.get("location", ""))
            answer.close()
            if not self._may_ask(target):
                raise MissingImage(f"{self._registry.host} sends one elsewhere without TLS")
            if urlsplit(target).netloc != urlsplit(url).netloc:
                sent.pop("Authorization", None)
            url = target
        raise MissingImage(f"{self._registry.host} sends one round in a circle")

    def _authorized(self, challenge: str) -> str:
        """What to say in Authorization, for what the registry said in WWW-Authenticate."""
        scheme, _, rest = challenge.partition(" ")
        basic = self._basic()
        if scheme.lower() == "basic" and basic:
            return basic
        parameters = dict(_PARAMETER.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in parameters:
            raise MissingImage(f"{self._registry.host} wants a user and a password: give them in the settings")
        if not self._may_ask(parameters["realm"]):
            raise MissingImage(f"{self._registry.host} gives tokens without TLS")
        query = {"scope": f"repository:{self._repository}:pull", "service": parameters.get("service", "")}
        answer = self._send(
            f"{parameters['realm']}?{urlencode(query)}", {"Authorization": basic} if basic else {}
        )  # fmt: skip
        data = _read(answer, MOST_BYTES)
        answer.close()
        try:
            told = msgspec.json.decode(data, type=dict[str, object])
        except msgspec.MsgspecError:
            told = {}
        token = told.get("token") or told.get("access_token")
        if answer.status != 200 or not isinstance(token, str):
            raise MissingImage(f"{self._registry.host} gives no token for {self._repository}: {_message(data)}")
        return f"Bearer {token}"

    def _basic(self) -> str:
        if not self._registry.user:
            return ""
        pair = f"{self._registry.user}:{self._registry.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _may_ask(self, url: str) -> bool:
        parts = urlsplit(url)
        own = self._registry.is_insecure and parts.scheme == "http" and parts.netloc.lower() == self._registry.host
        return parts.scheme == "https" or own

    def _send(self, url: str, headers: Mapping[str, str]) -> Answer:
        try:
            return self._web.get(url, {"User-Agent": "lambdad", **headers})
        except WebTrouble as error:
            raise MissingImage(f"{self._registry.host} cannot be reached: {error}") from error


def _read(answer: Answer, size: int) -> bytes:
    try:
        return answer.read(size)
    except WebTrouble as error:
        raise MissingImage(f"the registry cannot be read: {error}") from error


def _forget(done: asyncio.Future[T]) -> None:
    """What comes too late."""
    if not done.cancelled() and done.exception() is None and isinstance(answer := done.result(), Answer):
        answer.close()


def _message(reason: bytes) -> str:
    """What the registry says, for the reader of an error."""
    return " ".join(reason.decode("utf-8", "replace").split())[:200]
