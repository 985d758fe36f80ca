from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.runtimes.dotnet.dotnet_source import _keep_aspnet, _keep_openssl
from lambdad.runtimes.install import InstallError


def test_of_the_second_wheel_only_openssl_is_kept(tmp_path: Path) -> None:
    """libssl by the name that .NET asks for, libcrypto by the one that libssl does."""
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    for name in ("libssl-0331cfe8.so.1.1", "libcrypto-1b6775a1.so.1.1", "libpq-227f62f1.so.5.15"):
        (wheel / name).write_bytes(name.encode())
    _keep_openssl(wheel, tmp_path / "lib")
    kept = {path.name: path.read_text() for path in (tmp_path / "lib").iterdir()}
    assert kept == {
        "libssl.so.1.1": "libssl-0331cfe8.so.1.1",
        "libcrypto-1b6775a1.so.1.1": "libcrypto-1b6775a1.so.1.1",
    }
    assert not wheel.exists()


def test_a_wheel_without_it_is_an_error(tmp_path: Path) -> None:
    """Not a .NET that ends with its first hash."""
    (tmp_path / "wheel").mkdir()
    with pytest.raises(InstallError, match=r"has 0 files libssl-\*\.so\.1\.1 where one was to be"):
        _keep_openssl(tmp_path / "wheel", tmp_path / "lib")


def test_of_the_sdk_only_aspnet_is_kept(tmp_path: Path) -> None:
    """Beside the framework that came with the wheel; an SDK without it is an error."""
    for name in ("sdk/Microsoft.NETCore.App/2.1.8", "sdk/Microsoft.AspNetCore.App/2.1.8", "sdk/Microsoft.AspNetCore.All/2.1.8"):
        (tmp_path / name).mkdir(parents=True)
    shared = tmp_path / "shared"
    (shared / "Microsoft.NETCore.App" / "2.1.30").mkdir(parents=True)
    _keep_aspnet(tmp_path / "sdk", shared)
    kept = sorted(path.relative_to(shared).as_posix() for path in shared.glob("*/*"))
    assert kept == ["Microsoft.AspNetCore.All/2.1.8", "Microsoft.AspNetCore.App/2.1.8", "Microsoft.NETCore.App/2.1.30"]
    assert not (tmp_path / "sdk").exists()
    (tmp_path / "sdk").mkdir()
    with pytest.raises(InstallError, match=r"there is no ASP\.NET Core in the SDK"):
        _keep_aspnet(tmp_path / "sdk", shared)
