"""What an entry of a zip is called. Zips say of their names only whether they are surely in UTF-8."""

from __future__ import annotations

import codecs
from zipfile import ZipInfo

UTF8_FLAG = 0x800

codecs.lookup("cp437")  # loaded here, because the unpacking process sees no file of Python's


def zip_name(entry: ZipInfo) -> str:
    """In UTF-8 where its bytes are, since zip on Linux and macOS does not say so; else in the code page of MS-DOS."""
    name = entry.orig_filename
    if entry.flag_bits & UTF8_FLAG or name.isascii():
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeDecodeError:
        return name
