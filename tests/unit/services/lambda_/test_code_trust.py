"""Deployments under a code signing configuration: what is let in, warned of and refused."""

from __future__ import annotations

import io
import logging
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lambdad.signature.archive import NAME
from support.lambda_service import CODE, OTHER_CODE, World, refused, zip_of
from support.signer_service import Signer

MISMATCH = "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is not"


class Signing:
    """A profile, and a configuration that allows it and no other."""

    def __init__(self, world: World, signer: Signer) -> None:
        self.world = world
        self.signer = signer
        self.tokens = 0

    async def open(self) -> Signing:
        self.signer.now = self.world.now[0]
        self.profile = await self.signer.profile()
        self.enforce, self.warn = await self._config("Enforce"), await self._config("Warn")
        return self

    async def signed(self, package: bytes = CODE, name: str = "p") -> bytes:
        return (await self.job(package, name))[1]

    async def job(self, package: bytes = CODE, name: str = "p") -> tuple[str, bytes]:
        self.tokens += 1
        job = await self.signer.sign(package, name, token=f"{self.tokens}")
        assert job["status"] == "Succeeded"
        return job["jobId"], self.signer.objects["b", job["signedObject"]["s3"]["key"]]

    async def create(self, package: bytes, name: str, policy: str, **more: Any) -> Any:
        config = self.enforce if policy == "Enforce" else self.warn
        return await self.world.create(name, Code={"ZipFile": package}, CodeSigningConfigArn=config, **more)

    async def _config(self, policy: str) -> str:
        made = await self.world.call(
            "CreateCodeSigningConfig",
            AllowedPublishers={"SigningProfileVersionArns": [self.profile]},
            CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy},
        )
        return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])


@pytest.fixture
async def signing(world: World, tmp_path: Path) -> Signing:
    scratch = tmp_path / "signing"
    scratch.mkdir()
    return await Signing(world, Signer(scratch, world.store)).open()


def changed(package: bytes, name: str = "app.py", content: bytes = b"evil = 1") -> bytes:
    """With one file changed and the signature as it was."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    return zip_of({**files, name: content})


async def test_a_signed_package_is_deployed_and_says_by_whom(signing: Signing) -> None:
    """In every configuration that prints it, of functions and layers."""
    job, package = await signing.job()
    layer = await signing.world.call(
        "PublishLayerVersion", LayerName="l", Content={"ZipFile": await signing.signed(OTHER_CODE)}
    )
    created = await signing.create(package, "f", "Enforce", Layers=[layer["LayerVersionArn"]])
    assert created["SigningProfileVersionArn"] == signing.profile == layer["Content"]["SigningProfileVersionArn"]
    assert created["SigningJobArn"].endswith(f":/signing-jobs/{job}")
    assert created["Layers"][0]["SigningProfileVersionArn"] == signing.profile
    signing.world.state = signing.world.restarted()
    shown = await signing.world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["SigningJobArn"] == created["SigningJobArn"]
    await signing.world.call("UpdateFunctionCode", FunctionName="f", ZipFile=await signing.signed(OTHER_CODE))


async def untrusted(signing: Signing) -> dict[str, tuple[bytes, str]]:
    """Packages that are whole and yet not to be trusted, with the reason."""
    await signing.signer.profile("other")
    other = await signing.signed(name="other")
    revoked_job, revoked = await signing.job()
    await signing.signer.call("RevokeSignature", jobId=revoked_job, reason="r")
    return {
        "unsigned": (CODE, "It is not signed."),
        "mismatched": (other, "Its signing profile is not an allowed publisher"),
        "revoked": (revoked, "Its signature is revoked."),
    }


async def test_untrusted_packages_are_refused_where_it_is_enforced(signing: Signing) -> None:
    """Unsigned, mismatched and revoked ones; no function is made, and an update leaves the old code."""
    await signing.create(await signing.signed(), "f", "Enforce")
    for package, reason in (await untrusted(signing)).values():
        error = await refused(signing.create(package, "new", "Enforce"))
        assert error.code == "CodeVerificationFailedException"
        assert error.message.startswith(MISMATCH)
        assert reason in error.message
        assert (await refused(signing.world.call("GetFunction", FunctionName="new"))).code == "ResourceNotFoundException"
        before = await signing.world.call("GetFunctionConfiguration", FunctionName="f")
        for dry_run in (True, False):
            update = signing.world.call("UpdateFunctionCode", FunctionName="f", ZipFile=package, DryRun=dry_run)
            assert (await refused(update)).code == "CodeVerificationFailedException"
        assert await signing.world.call("GetFunctionConfiguration", FunctionName="f") == before


async def test_untrusted_packages_are_let_in_with_a_warning(signing: Signing, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is wrong and which configuration warns only."""
    with caplog.at_level(logging.WARNING):
        for name, (package, reason) in (await untrusted(signing)).items():
            caplog.clear()
            await signing.create(package, name, "Warn")
            assert reason[1:].rstrip(".") in caplog.text
            assert signing.warn in caplog.text


async def test_broken_signatures_are_refused_whatever_the_policy(signing: Signing) -> None:
    """Changed files, the signature of another archive, a signature that is none, and a stranger's certificate."""
    package, other = await signing.signed(), await signing.signed(OTHER_CODE)
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        of_another = archive.read(NAME)
    foreign = Signer(signing.signer.scratch)
    version = signing.profile.rpartition("/")[2]
    foreign.state.new_version = lambda: version  # the same name, another key
    await foreign.profile()
    forged = await foreign.sign(CODE)
    packages = {
        "changed": changed(package),
        "more": changed(package, "more.py"),
        "another": changed(package, NAME, of_another),
        "text": changed(package, NAME, b"signed, honestly"),
        "forged": foreign.objects["b", forged["signedObject"]["s3"]["key"]],
    }
    for name, broken in packages.items():
        for policy in ("Enforce", "Warn"):
            error = await refused(signing.create(broken, name, policy))
            assert error.code == "InvalidCodeSignatureException", name
            assert "failed the integrity check" in error.message


async def test_a_signature_expires(signing: Signing) -> None:
    """From its end on it is refused; what is deployed goes on."""
    await signing.signer.profile("p2", signatureValidityPeriod={"value": 1, "type": "DAYS"})
    shown = await signing.signer.call("GetSigningProfile", profileName="p2")
    publishers = {"SigningProfileVersionArns": [shown["profileVersionArn"]]}
    await signing.world.call("UpdateCodeSigningConfig", CodeSigningConfigArn=signing.enforce, AllowedPublishers=publishers)
    package = await signing.signed(name="p2")
    signing.world.now[0] += 86_399
    await signing.create(package, "f", "Enforce")
    signing.world.now[0] += 1
    error = await refused(signing.world.call("UpdateFunctionCode", FunctionName="f", ZipFile=package))
    assert (error.code, "Its signature has expired." in error.message) == ("CodeVerificationFailedException", True)
    assert (await signing.world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"


async def test_a_revoked_profile_is_trusted_no_more(signing: Signing) -> None:
    """Nor is what it signed since then, from the next deployment on."""
    package = await signing.signed()
    await signing.create(package, "f", "Enforce")
    version = signing.profile.rpartition("/")[2]
    effective = datetime.fromtimestamp(signing.signer.now, UTC)
    await signing.signer.call(
        "RevokeSigningProfile", profileName="p", profileVersion=version, reason="r", effectiveTime=effective
    )
    error = await refused(signing.world.call("UpdateFunctionCode", FunctionName="f", ZipFile=package))
    assert error.code == "CodeVerificationFailedException"


async def test_layers_must_be_signed_as_well(signing: Signing) -> None:
    """When they come to a function, by its creation or by a change of its configuration; a broken one never does."""
    package = await signing.signed()
    layers = {}
    for name, content in {"u": CODE, "b": changed(package), "s": package}.items():
        published = await signing.world.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": content})
        layers[name] = published["LayerVersionArn"]
    for name, code in (("u", "CodeVerificationFailedException"), ("b", "InvalidCodeSignatureException")):
        error = await refused(signing.create(package, "f", "Enforce", Layers=[layers["s"], layers[name]]))
        assert (error.code, layers[name] in error.message) == (code, True)
    await signing.create(package, "f", "Enforce", Layers=[layers["s"]])
    error = await refused(signing.world.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[layers["u"]]))
    assert error.code == "CodeVerificationFailedException"
    await signing.world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await signing.create(package, "w", "Warn", Layers=[layers["u"]])
    assert (await refused(signing.create(package, "x", "Warn", Layers=[layers["b"]]))).code == "InvalidCodeSignatureException"


async def test_a_function_without_a_configuration_takes_anything(signing: Signing) -> None:
    """Also a broken signature, of which nothing is printed."""
    created = await signing.world.create("f", Code={"ZipFile": changed(await signing.signed())})
    assert "SigningProfileVersionArn" not in created
    await signing.world.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=signing.enforce)
    await signing.world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await signing.world.settled("f")
    error = await refused(signing.world.call("UpdateFunctionCode", FunctionName="f", ZipFile=CODE))
    assert error.code == "CodeVerificationFailedException"
