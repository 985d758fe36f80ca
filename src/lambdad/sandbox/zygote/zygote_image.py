"""How a zygote moves among the files of a container image. Run by lambdad's own Python only.

Whoever made the image could have put modules and libraries at every path, and until a sandbox is confined the zygote and its forks have
every privilege. So nothing is imported from there: what is needed later has been imported before, and the rest is not found.
"""

import codecs
import importlib.machinery
import os
import socket  # noqa: F401 - as `warnings`: imported by name when it is needed
import sys
import warnings  # noqa: F401

import zygote_linux as linux

CAPABILITY = 18  # SYS_CHROOT

def enter(root):
    """Makes `root`, a mount of this process's mount namespace, its root folder, and lets go of the old one."""
    _import_no_more()
    os.chdir(root)
    linux.check(linux.libc.pivot_root(b".", b"."), "pivot_root")
    linux.unmount(b".")
    os.chdir("/")


def shut_in(root):
    """Where an OCI runtime has made the mounts: makes `root` the root folder of this process, which has no other privilege, and
    gives that up. What is left outside are lambdad's own files, which every sandbox of a zip sees."""
    codecs.lookup("idna")  # for the names of hosts, numbers included
    _import_no_more()
    os.chdir(root)
    os.chroot(".")
    linux.give_up(CAPABILITY)


def _import_no_more():
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.meta_path[:] = [importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter]
