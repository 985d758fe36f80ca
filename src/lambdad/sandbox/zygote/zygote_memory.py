"""Makes a zygote's memory cheap to share. Run by every Python from 2.7 on.

A fork shares every page with its parent until one of them writes to it. What a fork allocates goes first into whatever gaps its
parent's heaps have, and those are everywhere: each small object would cost it a page of its own. So the zygote fills its gaps
beforehand, for good, and what its forks allocate lies side by side on fresh pages.
"""

import ctypes
import sys

# The interpreter's allocator cuts pools into blocks of one size; the first block follows the pool's header.
POOL_SIZE = 16384 if sys.version_info >= (3, 10) else 4096
HEADER_SIZE = 48
ALIGNMENT = 16 if sys.version_info >= (3, 7) else 8
LARGEST_BLOCK = 512
# Of libc: what lies between two chunks, and what counts as the end of its heap.
CHUNK_OVERHEAD = 32
LARGEST_CHUNK, SMALLEST_CHUNK = 64 * 1024, 32
END_OF_HEAP = 512 * 1024
MOST = 20000  #: of one size; far more than there are gaps


def fill_gaps():
    if sys.version_info >= (3, 5):  # those before have another way to the same allocator
        _fill_pools()
    if sys.platform == "linux" or sys.platform == "linux2":
        _fill_heap()


def _fill_pools():
    """Takes blocks of each size until they come from a pool that was empty."""
    allocate = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for size in range(ALIGNMENT, LARGEST_BLOCK + 1, ALIGNMENT):
        for _ in range(MOST):
            block = allocate(size)
            if block % POOL_SIZE == HEADER_SIZE and allocate(size) == block + size:
                break


def _fill_heap():
    """Takes chunks from libc, large ones first, until they come one after the other from the end of its heap."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    size = LARGEST_CHUNK
    while size >= SMALLEST_CHUNK:
        before = 0
        for _ in range(MOST):
            chunk = libc.malloc(size) or 0
            is_next = size <= chunk - before <= size + CHUNK_OVERHEAD
            if not chunk or (is_next and chunk > libc.sbrk(0) - END_OF_HEAP):
                break
            before = chunk
        size = size * 3 // 4 // 16 * 16
