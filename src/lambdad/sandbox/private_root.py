"""The file system that functions of one language see: a small read-only tree with the machine's /usr and the language in it.

Built by a process that has just been forked from the launcher and will become a zygote; it lives in that process's mount
namespace, so nothing of it shows on the machine and nothing of it stays behind.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from lambdad.sandbox import linux
from lambdad.sandbox.base import RESOLVER_ADDRESS, SANDBOX_ADDRESS, RuntimeProgram

LANGUAGE_DIR = PurePosixPath("/var/lang")
ZYGOTE_DIR = PurePosixPath("/var/lambdad")
PYTHON_DIR = PurePosixPath("/var/lambdad-python")  #: lambdad's own Python, where it is not the language
ZYGOTE_SOURCE = Path(__file__).parent / "zygote"
#: Empty folders. Those under /var/task and /opt are covered by the function's files, but have to be there when the
#: dynamic loader first looks at LD_LIBRARY_PATH: it never again tries a folder that it once found missing.
_FOLDERS = (
    "proc",
    "dev",
    "mnt",
    "tmp",
    "run",
    "etc/ssl",
    "var/empty",
    "var/lang",
    "var/runtime",
    "var/task/lib",
    "opt/lib",
    ZYGOTE_DIR.as_posix()[1:],
    PYTHON_DIR.as_posix()[1:],
)
_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr on most distributions
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
#: Taken over from the machine as they are now: certificates and what the loader and OpenSSL need to find their files.
_COPIED = ("etc/ld.so.cache", "etc/ld.so.conf", "etc/ssl/openssl.cnf", "etc/mime.types", "etc/services", "etc/protocols")
#: In /etc: where links in /usr lead to. Distributions keep Java's settings there.
_COPIED_FOLDERS = ("alternatives", "java", "java-*-openjdk")
_CERTIFICATES = ("etc/ssl/certs", "etc/pki/tls/certs", "etc/pki/ca-trust/extracted")
WRITTEN = {
    "etc/hosts": f"127.0.0.1 localhost\n{SANDBOX_ADDRESS} sandbox.localdomain sandbox\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "etc/resolv.conf": f"nameserver {RESOLVER_ADDRESS}\n",
    "etc/hostname": "sandbox\n",
}


def enter(staging: Path, program: RuntimeProgram) -> str:
    """Moves the calling process into a new root, in a mount namespace of its own; returns the interpreter's path there.

    `staging` is any empty folder; it is only ever a mount point.
    """
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", os.fspath(staging), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=16m,mode=755")
    for folder in lay_out(staging):
        bind(folder, staging / folder.relative_to("/"), recursive=True)
    add_devices(staging / "dev")
    for source in ZYGOTE_SOURCE.glob("*.py"):
        shutil.copyfile(source, staging / ZYGOTE_DIR.relative_to("/") / source.name)
    interpreter = _add_language(staging, program)
    linux.mount("proc", str(staging / "proc"), "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.pivot_root(os.fspath(staging))
    _seal()
    return interpreter


def lay_out(root: Path) -> list[Path]:
    """Makes the folders, links and files of that file system in the empty folder `root`. Returns the machine's folders that
    have to be seen in it, read-only and each at its own path."""
    for empty in _FOLDERS:
        (root / empty).mkdir(parents=True)
    for name in _COPIED:
        if Path("/", name).is_file():
            shutil.copyfile(Path("/", name), root / name)
    for folder in (one for pattern in _COPIED_FOLDERS for one in Path("/etc").glob(pattern) if one.is_dir()):
        shutil.copytree(folder, root / folder.relative_to("/"), symlinks=True, ignore=_hidden)
    for name, text in WRITTEN.items():
        (root / name).write_text(text)
    for name in ("passwd", "group"):  # each sandbox writes its own there
        (root / "etc" / name).symlink_to(f"/run/{name}")
    (root / "etc/mtab").symlink_to("/proc/self/mounts")
    # Where Node.js looks for what a module in /var/task imports; NODE_PATH counts for `require` alone.
    (root / "var/node_modules").symlink_to("runtime/node_modules")
    shown = [Path("/usr")]
    for name in _SYSTEM_FOLDERS:
        original = Path("/", name)
        if original.is_symlink():
            (root / name).symlink_to(original.readlink())
        elif original.is_dir():
            shown.append(original)
    shown += [Path("/", name) for name in _CERTIFICATES if Path("/", name).is_dir()]
    for folder in shown:
        (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
    return shown


def _hidden(folder: str, names: list[str]) -> list[str]:
    """What not everybody may read is no business of functions."""
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH]


def language_folders(program: RuntimeProgram) -> list[tuple[Path, PurePosixPath]]:
    """Folders of the machine to be seen inside, each with its path there. What is in /usr is seen there anyway."""
    folders = [(program.language_root, LANGUAGE_DIR)]
    if program.python_root is not None:
        folders.append((program.python_root, PYTHON_DIR))
    return [(folder, inside) for folder, inside in folders if not folder.is_relative_to("/usr")]


def interpreter_inside(program: RuntimeProgram) -> str:
    """Where the zygote's interpreter is inside."""
    for folder, inside in reversed(language_folders(program)):
        if program.interpreter.is_relative_to(folder):
            return f"{inside}/{program.interpreter.relative_to(folder)}"
    return os.fspath(program.interpreter)


def add_devices(folder: Path) -> None:
    """Mounts a small /dev at the folder."""
    linux.mount("tmpfs", os.fspath(folder), "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "size=64k,mode=755")
    for name, (major, minor) in _DEVICES.items():
        _add_device(folder / name, os.makedev(major, minor))
    for name, target in _DEVICE_LINKS.items():
        (folder / name).symlink_to(target)


def _add_device(path: Path, device: int) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, device)
        path.chmod(0o666)
    except PermissionError:  # in a user namespace nobody makes devices: the machine's own is shown
        path.touch()
        tree = linux.open_read_only(Path("/dev", path.name), linux.MOUNT_ATTR_NOEXEC)
        linux.move_mount(tree, os.fspath(path))
        os.close(tree)


def _add_language(root: Path, program: RuntimeProgram) -> str:
    for folder, inside in [*language_folders(program), (program.runtime_dir, PurePosixPath("/var/runtime"))]:
        bind(folder, root / inside.relative_to("/"))
    return interpreter_inside(program)


def bind(source: Path, target: Path, *, recursive: bool = False) -> None:
    """Has the folder `source` seen at `target`, read-only."""
    target.mkdir(parents=True, exist_ok=True)
    tree = linux.open_read_only(source, recursive=recursive)
    linux.move_mount(tree, os.fspath(target))
    os.close(tree)


def _seal() -> None:
    for path, attributes in (("/", linux.MOUNT_ATTR_NODEV), ("/dev", linux.MOUNT_ATTR_NOEXEC)):
        tree = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        linux.restrict_mount(tree, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | attributes)
        os.close(tree)
