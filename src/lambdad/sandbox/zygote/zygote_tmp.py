"""What is in /tmp at the moment of a snapshot, as a stream of bytes that every clone has in its own /tmp.

Written and read by process 1 of a sandbox, as the user of the function: nobody with more rights ever looks into it. Each entry
is the length of a JSON record, the record, and of a file the content. Folders come before what is in them. Used by Python from
3.8 on, as snapshots are.
"""

import errno
import json
import os
import stat
import struct

PAGE = 4096
PIECE = 1 << 18
LENGTH = struct.Struct(">I")


def pack(folder, out, most):
    """Writes to the descriptor `out`. OSError: EFBIG when it is more than `most` bytes, in whole pages as /tmp counts them;
    EOPNOTSUPP when there is a socket, a pipe or a device."""
    room = most
    folders = [""]
    while folders:
        inside = folders.pop()
        for name in sorted(os.listdir(os.path.join(folder, inside))):
            path = os.path.join(inside, name)
            full = os.path.join(folder, path)
            facts = os.lstat(full)
            record = {"path": path, "mode": stat.S_IMODE(facts.st_mode), "time": facts.st_mtime_ns}
            if stat.S_ISDIR(facts.st_mode):
                folders.append(path)
                _write(out, _head(record, kind="folder"))
            elif stat.S_ISLNK(facts.st_mode):
                _write(out, _head(record, kind="link", target=os.readlink(full)))
            elif stat.S_ISREG(facts.st_mode):
                room -= -(-facts.st_size // PAGE) * PAGE
                if room < 0:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                _write_file(out, full, record, facts.st_size)
            else:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def unpack(source, folder):
    """Reads from the descriptor `source`."""
    folders = []
    while True:
        length = _read(source, LENGTH.size)
        if not length:
            break
        record = json.loads(_read(source, LENGTH.unpack(length)[0]).decode("ascii"))
        path = os.path.join(folder, record["path"])
        if record["kind"] == "folder":
            os.mkdir(path)
            folders.append((path, record))
        elif record["kind"] == "link":
            os.symlink(record["target"], path)
        else:
            _read_file(source, path, record)
    for path, record in reversed(folders):  # not before: a folder may forbid to write in it
        _finish(path, record)


def _head(record, **more):
    encoded = json.dumps(dict(record, **more)).encode("ascii")
    return LENGTH.pack(len(encoded)) + encoded


def _write_file(out, path, record, size):
    """Exactly so much of it, whatever becomes of it meanwhile."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _write(out, _head(record, kind="file", size=size))
        while size:
            piece = os.read(file, min(size, PIECE)) or b"\0" * min(size, PIECE)
            _write(out, piece)
            size -= len(piece)
    finally:
        os.close(file)


def _read_file(source, path, record):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        left = record["size"]
        while left:
            piece = _read(source, min(left, PIECE))
            _write(file, piece)
            left -= len(piece)
    finally:
        os.close(file)
    _finish(path, record)


def _finish(path, record):
    os.chmod(path, record["mode"])
    os.utime(path, ns=(record["time"], record["time"]))


def _write(descriptor, content):
    while content:
        content = content[os.write(descriptor, content) :]


def _read(descriptor, size):
    """Nothing at the end of the stream; an OSError in the middle of something."""
    content = b""
    while len(content) < size:
        piece = os.read(descriptor, size - len(content))
        if not piece:
            if content:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            break
        content += piece
    return content
