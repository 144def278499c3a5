"""A process with a private mapping of a file, as a VMM has one of its guest's memory.

    private_mapping.py FILE: maps all of it, says the mapping's address, then follows lines on standard input:
    `write PAGE BYTE` fills a page, `read PAGE` touches it. Each is answered `ok`.
"""

import ctypes
import mmap
import os
import sys

PAGE = 4096

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
for line in sys.stdin:
    order, page, *rest = line.split()
    at = int(page) * PAGE
    if order == "write":
        memory[at : at + PAGE] = bytes([int(rest[0])]) * PAGE
    else:
        memory[at]
    print("ok", flush=True)
