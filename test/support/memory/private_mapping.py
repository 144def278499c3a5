"""A process with a private mapping of a file, as a VMM has one of its guest's memory.

    private_mapping.py FILE: maps all of it, says the mapping's address, then follows lines on standard input:
    `write PAGE BYTE` fills a page, `read PAGE` touches it, `discard PAGE` gives it back, so that it is the file's
    again, and `churn` writes and discards pages at random from then on. Each is answered `ok`.
"""

import ctypes
import mmap
import os
import random
import sys
import threading

PAGE = 4096

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def discard(at):
    memory.madvise(mmap.MADV_DONTNEED, at, PAGE)


def churn():
    while True:
        at = random.randrange(size // PAGE) * PAGE
        if random.random() < 0.2:
            discard(at)
        else:
            memory[at : at + PAGE] = os.urandom(PAGE)


print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
for line in sys.stdin:
    order, *rest = line.split()
    at = int(rest.pop(0)) * PAGE if rest else 0
    if order == "write":
        memory[at : at + PAGE] = bytes([int(rest[0])]) * PAGE
    elif order == "discard":
        discard(at)
    elif order == "churn":
        threading.Thread(target=churn, daemon=True).start()
    else:
        memory[at]
    print("ok", flush=True)
