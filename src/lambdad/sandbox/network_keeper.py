"""A process of the launcher's that makes the networks of sandboxes, so that the launcher never waits for the kernel.

It holds all that the router and the uplink (see `network`) are made of: they end with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import traceback
from collections import deque
from collections.abc import Sequence

import msgspec

from lambdad.errors import StartupError
from lambdad.sandbox import linux
from lambdad.sandbox.base import NetworkStatus
from lambdad.sandbox.network import Network, NoNetwork, Outlet, OwnNetworks, RoutedNetwork
from lambdad.sandbox.records import Channel, close_all

#: Wanted of a keeper whose sandboxes make their networks themselves.
OWN = "own"
_STOCK = 4  # networks made ahead, once one was asked for


class Order(msgspec.Struct, frozen=True):
    """To make a network, or, with the descriptor of its namespace, to unplug one."""

    number: int  #: the launcher's, of the shell that it is for
    link: int | None = None  #: of the network that is to be unplugged


class Answer(msgspec.Struct, frozen=True):
    """To an order. One that asked for a network comes with the descriptor of its namespace."""

    number: int
    link: int = 0
    is_unplugged: bool = False
    error: str | None = None


class _Begun(msgspec.Struct, frozen=True):
    """The first that the keeper says."""

    status: NetworkStatus | None
    weaknesses: list[str] = []
    refusal: str = ""


class NetworkKeeper:
    """The launcher's view: orders go in at once, answers come from `receive` when `channel.socket` is readable.

    `wanted` is the setting, nat, none or auto, or `OWN`. `name` is the server's; `uid` and `filter_program` are for the process
    that passes on questions for names.
    """

    def __init__(self, wanted: str, name: str, uid: int, filter_program: bytes) -> None:
        """StartupError where the machine does not provide what is wanted."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _Keeper(wanted, name, uid, filter_program, theirs).run(launcher)
        theirs.close()
        self.channel = Channel(ours)
        begun = self._hear_begin()
        if begun.status is None:
            self.close()
            raise StartupError(begun.refusal)
        self.status = begun.status
        self.weaknesses = begun.weaknesses

    def make(self, number: int) -> None:
        self.channel.send(Order(number))

    def unplug(self, number: int, outlet: Outlet) -> None:
        self.channel.send(Order(number, outlet.link), [outlet.namespace])

    def receive(self) -> tuple[Answer, list[int]] | None:
        received = self.channel.receive()
        if received is None:
            return None
        data, descriptors = received
        if not data:
            raise ConnectionError("the keeper of the networks has ended")
        return msgspec.json.decode(data, type=Answer), descriptors

    def close(self) -> None:
        self.channel.close()
        with contextlib.suppress(ChildProcessError):  # whoever reaps orphans has reaped it
            os.waitid(os.P_PID, self.pid, os.WEXITED)

    def _hear_begin(self) -> _Begun:
        beginning = select.poll()  # a launcher may have any number of descriptors
        beginning.register(self.channel.socket, select.POLLIN)
        beginning.poll()
        data, _ = self.channel.receive() or (b"", [])
        if not data:
            return _Begun(None, refusal="the keeper of the networks ended before it was ready; its reason is above")
        return msgspec.json.decode(data, type=_Begun)


class _Keeper:
    """In the child. Its end is the launcher's."""

    def __init__(self, wanted: str, name: str, uid: int, filter_program: bytes, connection: socket.socket) -> None:
        self._wanted = wanted
        self._name = name
        self._uid = uid
        self._filter = filter_program
        self._launcher = Channel(connection)
        self._orders: deque[tuple[Order, list[int]]] = deque()
        self._stock: deque[Outlet] = deque()
        self._is_stocking = False
        self._is_ending = False
        self._network: RoutedNetwork | None = None
        self._resolver: _Resolver | None = None

    def run(self, launcher: int) -> None:
        """Never returns. The launcher's end is told twice, by a signal and by its socket: the second must not disturb."""
        try:
            try:
                signal.signal(signal.SIGTERM, self._be_ended)
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() == launcher:
                    network = self._open()
                    if network is not None:
                        self._serve(network)
            finally:
                self._is_ending = True
        except SystemExit:
            pass
        except Exception:  # noqa: BLE001 - this is the edge of a process; the launcher ends as well, and the log has the reason
            traceback.print_exc()
        finally:
            if self._resolver is not None:
                self._resolver.close()
            if self._network is not None:
                self._network.close()
            os._exit(0)

    def _be_ended(self, *_: object) -> None:
        if not self._is_ending:
            self._is_ending = True
            raise SystemExit

    def _open(self) -> Network | None:
        """None where what is wanted cannot be had; the launcher has been told either way."""
        remark = ""
        if self._wanted == OWN:
            self._launcher.send(_Begun(NetworkStatus("none")))
            return OwnNetworks()
        if self._wanted != "none":
            try:
                routed = self._network = RoutedNetwork(self._name)
            except OSError as error:
                remark = f"functions cannot be given a way out here: {error.strerror or error}"
            else:
                self._resolver = _Resolver(routed, self._uid, self._filter)
                self._resolver.start()
                self._launcher.send(_Begun(NetworkStatus("nat", routed.remark), weaknesses=routed.weaknesses))
                return routed
        if self._wanted == "nat":
            self._launcher.send(_Begun(None, refusal=remark))
            return None
        self._launcher.send(_Begun(NetworkStatus("none", remark)))
        return NoNetwork()

    def _serve(self, network: Network) -> None:
        while True:
            self._wait()
            while (received := self._launcher.receive()) is not None:
                data, descriptors = received
                if not data:
                    return
                self._orders.append((msgspec.json.decode(data, type=Order), descriptors))
                self._is_stocking = True
            if self._orders:
                self._obey(network, *self._orders.popleft())
            elif self._wants_stock:
                self._fill_stock(network)

    @property
    def _wants_stock(self) -> bool:
        return self._is_stocking and len(self._stock) < _STOCK

    def _wait(self) -> None:
        """Until there is something to do."""
        sources: list[int | socket.socket] = [self._launcher.socket]
        if self._resolver is not None:
            sources.append(self._resolver.handle)
        is_idle = not self._orders and not self._wants_stock
        readable, _, _ = select.select(sources, [], [], None if is_idle else 0)
        if self._resolver is not None and self._resolver.handle in readable:
            self._resolver.restart()

    def _obey(self, network: Network, order: Order, descriptors: list[int]) -> None:
        try:
            if order.link is not None:
                network.unplug(Outlet(descriptors[0], order.link))
                self._answer(Answer(order.number, is_unplugged=True))
            else:
                outlet = self._stock.popleft() if self._stock else network.make()
                descriptors = [outlet.namespace]
                self._answer(Answer(order.number, outlet.link), descriptors)
        except OSError as error:
            self._answer(Answer(order.number, is_unplugged=order.link is not None, error=error.strerror or str(error)))
        finally:
            close_all(descriptors)

    def _fill_stock(self, network: Network) -> None:
        try:
            self._stock.append(network.make())
        except OSError:  # whoever needs one hears why
            self._is_stocking = False

    def _answer(self, answer: Answer, descriptors: Sequence[int] = ()) -> None:
        self._launcher.send(answer, descriptors)
        while self._launcher.has_unsent:  # the launcher is busy: nothing else to do here meanwhile
            select.select([], [self._launcher.socket], [])
            self._launcher.flush()


class _Resolver:
    """The process that passes on questions for names; made again if it is killed."""

    def __init__(self, network: RoutedNetwork, uid: int, filter_program: bytes) -> None:
        self._uid = uid
        self._filter = filter_program
        self._sockets = network.resolver_sockets()
        self._pid = 0
        self.handle = -1  #: pidfd

    def start(self) -> None:
        keeper = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(keeper)
        self.handle = os.pidfd_open(self._pid)

    def restart(self) -> None:
        os.waitid(os.P_PID, self._pid, os.WEXITED)
        self._pid = 0
        os.close(self.handle)
        self.start()

    def close(self) -> None:
        """It is gone on return, and with it its copies of the keeper's descriptors, should it just have been forked."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitid(os.P_PID, self._pid, os.WEXITED)

    def _run(self, keeper: int) -> None:
        """In the child: never returns."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            _keep_only([sock.fileno() for sock in self._sockets])
            from lambdad.sandbox import resolver  # brings asyncio, which neither the launcher nor the keeper needs

            linux.become(self._uid)
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user has cleared it
            linux.install_filter(self._filter)
            if os.getppid() == keeper:
                resolver.serve(*self._sockets)
        except BaseException:  # noqa: BLE001 - as above
            traceback.print_exc()
        finally:
            os._exit(1)


def _keep_only(descriptors: list[int]) -> None:
    """Of those above 2."""
    start = 3
    for descriptor in sorted(descriptors):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
