"""RTMR1 and RTMR2 of a kernel that QEMU and OVMF 2025.02 start directly, by another reading of the same documents.

python3 rtmr.py KERNEL INITRD COMMAND_LINE MEMORY_MIB

Also says whether the kernel's own signature signs the hash that the same steps give with SHA-256.
"""

import hashlib
import struct
import sys


def program_hash(data, algorithm):
    header = struct.unpack_from("<I", data, 0x3C)[0]
    optional = header + 24
    checksum, directory = optional + 64, optional + 112 + 32
    headers = struct.unpack_from("<I", data, optional + 60)[0]
    count, size = struct.unpack_from("<H12xH", data, header + 6)
    hasher = hashlib.new(algorithm)
    for part in (data[:checksum], data[checksum + 4 : directory], data[directory + 8 : headers]):
        hasher.update(part)
    sections = sorted(struct.unpack_from("<II", data, optional + size + 40 * at + 16)[::-1] for at in range(count))
    end = headers
    for start, length in sections:
        hasher.update(data[start : start + length])
        end += length
    address, length = struct.unpack_from("<II", data, directory)
    hasher.update(data[end : len(data) - length])
    return hasher.digest(), bytes(data[address : address + length])


def filled_in(data, initrd, memory):
    data = bytearray(data)
    data[0x210] = 0xB0
    data[0x211] |= 0x80
    struct.pack_into("<H", data, 0x224, 0xFE00)
    struct.pack_into("<I", data, 0x228, 0x20000)
    low = memory if memory < 0xB0000000 else 0x80000000
    struct.pack_into("<II", data, 0x218, (low - 0x28001 - initrd) & ~4095, initrd)
    return data


def extended(events):
    register = bytes(48)
    for event in events:
        register = hashlib.sha384(register + event).digest()
    return register.hex()


if __name__ == "__main__":
    kernel, initrd, command_line = (open(path, "rb").read() for path in sys.argv[1:4])
    signed, signature = program_hash(kernel, "sha256")
    print("signed  ", signed in signature)
    started, _ = program_hash(filled_in(kernel, len(initrd), int(sys.argv[4]) << 20), "sha384")
    texts = (
        b"Calling EFI Application from Boot Option",
        bytes(4),
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Success",
    )
    print("RTMR1   ", extended([started] + [hashlib.sha384(text).digest() for text in texts]))
    words = (command_line.decode().rstrip("\n") + " initrd=initrd\0").encode("utf-16-le")
    print("RTMR2   ", extended([hashlib.sha384(words).digest(), hashlib.sha384(initrd).digest()]))
