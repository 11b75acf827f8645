"""MRTD, by another reading of the same documents: of a file, or of the firmware that tests/it/firmware.rs makes.

python3 mrtd.py [FIRMWARE]
"""

import hashlib
import struct
import sys

PAGE = 4096


def variables():
    head = bytes.fromhex(
        "000000000000000000000000000000008d2bf1ff96768b4ca9852747075b4f50"
        "00400800000000005f465648fffe04004800afb8000000028400000000100000"
        "0000000000000000782cf3aa7b949a43a1802e144ec37792b8ff03005afe0000"
        "00000000"
    )
    spare = bytes.fromhex("2b29589e687c7d49a0ce6500fd9f1b952caf2c64feffffffe00f000000000000")
    volume = bytearray(b"\xff" * 0x84000)
    volume[: len(head)] = head
    volume[0x41000 : 0x41000 + len(spare)] = spare
    return bytes(volume)


def entry(guid, data):
    return data + struct.pack("<H", len(data) + 18) + bytes.fromhex(guid)


def firmware():
    volume = variables()
    code = bytearray(bytes(i * i % 251 for i in range(2 * PAGE)))
    size = len(volume) + len(code)
    sections = [
        (len(volume), 2 * PAGE, 2**32 - 2 * PAGE, 2 * PAGE, 0, 1),
        (0, len(volume), 2**32 - size, len(volume), 1, 0),
        (0, 0, 0x810000, 0x10000, 3, 0),
        (0, 0, 0x80B000, 0x2000, 3, 0),
        (0, 0, 0x809000, 0x2000, 2, 0),
        (0, 0, 0x800000, 0x6000, 3, 0),
    ]
    text = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), 1, len(sections))
    for section in sections:
        text += struct.pack("<IIQQII", *section)
    table = entry("35657ae44a989847865e4685a7bf8ec2", struct.pack("<I", 1024))
    table += struct.pack("<H", len(table) + 18) + bytes.fromhex("de82b596b21ff745baeaa366c55a082d")
    code[-1024 : -1024 + len(text)] = text
    code[-32 - len(table) : -32] = table
    return volume + bytes(code), sections


def block(name, address):
    return name.ljust(16, b"\0") + address.to_bytes(8, "little") + bytes(104)


def mrtd(data, sections, pages_first):
    total = b""
    for at, raw, address, size, _, flags in sections:
        content = data[at : at + raw].ljust(size, b"\0")
        adds, extends = [], []
        for page in range(0, size, PAGE):
            adds.append(block(b"MEM.PAGE.ADD", address + page))
            step = b""
            if flags & 1:
                for part in range(page, page + PAGE, 256):
                    step += block(b"MR.EXTEND", address + part) + content[part : part + 256]
            extends.append(step)
        if pages_first:
            total += b"".join(adds) + b"".join(extends)
        else:
            total += b"".join(a + e for a, e in zip(adds, extends))
    return hashlib.sha384(total).hexdigest()


def read(path):
    data = open(path, "rb").read()
    at = data.index(b"TDVF")
    count = struct.unpack_from("<I", data, at + 12)[0]
    return data, [struct.unpack_from("<IIQQII", data, at + 16 + 32 * index) for index in range(count)]


if __name__ == "__main__":
    image, listed = read(sys.argv[1]) if sys.argv[1:] else firmware()
    print("sha256", hashlib.sha256(image).hexdigest())
    print("each page", mrtd(image, listed, False))
    print("each section", mrtd(image, listed, True))
