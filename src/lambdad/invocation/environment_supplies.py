"""What one execution environment is supplied with, and what of that has to be given back when it ends.

That is its files, credentials and variables, and what is served at its listening sockets: the Runtime API and the AWS endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lambdad.invocation.environment_log import EnvironmentLog
from lambdad.invocation.environment_parts import Closable, EnvironmentParts
from lambdad.invocation.environment_variables import FunctionCredentials, boot_with, environment_variables
from lambdad.invocation.initialization import Initialization
from lambdad.invocation.library_tree import brings_libraries
from lambdad.invocation.life import Life, external_extensions
from lambdad.model.version import Version
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import Beginning
from lambdad.runtimes.image import image_program, tree_in_image
from lambdad.sandbox.base import RuntimeProgram, Sandbox, SandboxSpec, Snapshot


class EnvironmentSupplies:
    """`spec`, `serve` the sandbox that was made from it, `take_down` in the end; `give_back` before another `spec`."""

    def __init__(self, version: Version, parts: EnvironmentParts, log: EnvironmentLog, api: RuntimeApiServer) -> None:
        self.variables: Mapping[str, str] = {}
        self.extension_names: list[str] = []
        self.credentials: FunctionCredentials | None = None
        self._version = version
        self._parts = parts
        self._log = log
        self._api = api
        self._endpoint: Closable | None = None
        self._code: list[tuple[str, ...]] = []

    async def spec(
        self,
        initialization: Initialization,
        beginning: Beginning = Beginning.INIT,
        token: str | None = None,
        snapshot: Snapshot | None = None,
    ) -> SandboxSpec:
        """Its credentials are new ones. The token is that of a snapshot."""
        parts, version = self._parts, self._version
        program, task_root, opt_root = await self._files()
        parts.check_runtime_version(version)  # not before: a language may have been installed anew
        root = program.image_root
        opt_tree = opt_root if root is None else tree_in_image(root, "opt")
        self.extension_names = [] if opt_tree is None else external_extensions(opt_tree)
        self.credentials = parts.mint(version)
        self.variables = environment_variables(
            version,
            self.credentials,
            self._log.output.stream.name,
            token,
            is_provisioned=initialization is Initialization.PROVISIONED,
        )
        boot = boot_with(version, self.variables) if beginning is Beginning.INIT else None
        if boot is not None and brings_libraries(task_root, opt_root):
            boot = None
        return SandboxSpec(
            sandbox_id=parts.new_id(),
            program=program,
            task_root=task_root,
            opt_root=opt_root,
            memory_mb=version.memory_mb,
            tmp_mb=version.ephemeral_storage_mb,
            environment=self.variables,
            waits_with_runtime=bool(self.extension_names),
            boot=boot,
            file_system=version.file_system,
            has_network=version.has_network,
            is_template=beginning is Beginning.TEMPLATE,
            snapshot=snapshot,
        )

    async def _files(self) -> tuple[RuntimeProgram, Path | None, Path | None]:
        """What is run, and the trees of the package and of the layers. An image is all of that by itself."""
        version = self._version
        if version.image is not None:
            root = await self._unpacked(version.image.stacks()[-1])
            return image_program(version.image, root), None, None
        task_root = await self._unpacked((version.code.digest,))
        opt_root = await self._unpacked(tuple(layer.digest for layer in version.layers)) if version.layers else None
        return await self._parts.program_for(version.runtime), task_root, opt_root

    async def _unpacked(self, digests: tuple[str, ...]) -> Path:
        tree = await self._parts.code.acquire(digests, self._parts.unpack_limits)
        self._code.append(digests)
        return tree

    async def serve(self, sandbox: Sandbox) -> None:
        """Lets in whoever is inside."""
        await self._api.open(sandbox.runtime_listener, sandbox.loopback_listener)
        if sandbox.endpoint_listener is not None and self._parts.serve_endpoint is not None:
            self._endpoint = await self._parts.serve_endpoint(sandbox.endpoint_listener, self._version)

    async def take_down(self, sandbox: Sandbox | None, life: Life | None) -> None:
        """After Shutdown. Whatever fails of it, the sandbox is stopped and everything given back."""
        try:
            if self._endpoint is not None:
                await self._endpoint.close()
            await self._api.close()
        finally:
            try:
                if sandbox is not None:
                    await sandbox.stop()
                if life is not None:
                    await life.close()
            finally:
                self._log.output.close()
                self.give_back()

    def give_back(self) -> None:
        """Files and credentials."""
        while self._code:
            self._parts.code.release(self._code.pop())
        if self.credentials is not None:
            self._parts.revoke(self.credentials)
            self.credentials = None
