"""Writes small DICOM studies (PS3.5 and PS3.10, explicit little endian), a file a slice."""
import os
import struct


def element(group, number, kind, value):
    if isinstance(value, str):
        value = value.encode("ascii")
    value += b"" if len(value) % 2 == 0 else b"\0" if kind == "UI" else b" "
    if kind in ("OB", "OW"):
        return struct.pack("<HH2sHI", group, number, kind.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind.encode(), len(value)) + value


def short(value):
    return struct.pack("<H", value)


def write_slice(path, series, modality, words, number, z, size=24):
    """A CT slice, brighter with each."""
    instance = f"{series}.{number}"
    ct = "1.2.840.10008.5.1.4.1.1.2"
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", ct) + element(2, 3, "UI", instance) + \
        element(2, 0x10, "UI", "1.2.840.10008.1.2.1") + element(2, 0x12, "UI", "1.2.3.4")
    rows = b"".join(struct.pack("<h", 20 * number + 10 * ((x // 6 + y // 6) % 2)) for y in range(size)
                    for x in range(size))
    body = element(8, 0x16, "UI", ct) + element(8, 0x18, "UI", instance) + element(8, 0x60, "CS", modality) + \
        element(8, 0x103e, "LO", words) + element(0x18, 0x50, "DS", "2") + element(0x20, 0xd, "UI", "1.2.3") + \
        element(0x20, 0xe, "UI", series) + element(0x20, 0x11, "IS", series[-1]) + \
        element(0x20, 0x13, "IS", str(number)) + element(0x20, 0x32, "DS", f"0\\0\\{z}") + \
        element(0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0") + element(0x20, 0x52, "UI", "1.2.9") + \
        element(0x28, 2, "US", short(1)) + element(0x28, 4, "CS", "MONOCHROME2") + \
        element(0x28, 0x10, "US", short(size)) + element(0x28, 0x11, "US", short(size)) + \
        element(0x28, 0x30, "DS", "1\\1") + element(0x28, 0x100, "US", short(16)) + \
        element(0x28, 0x101, "US", short(16)) + element(0x28, 0x102, "US", short(15)) + \
        element(0x28, 0x103, "US", short(1)) + element(0x28, 0x1052, "DS", "0") + element(0x28, 0x1053, "DS", "1") + \
        element(0x7fe0, 0x10, "OW", rows)
    with open(path, "wb") as file:
        file.write(b"\0" * 128 + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body)


def write_study(folder):
    """Three series; of the second a slice is missing."""
    os.makedirs(folder)
    for k, (modality, words, places) in enumerate((("CT", "Thorax soft", range(8)), ("CT", "Thorax lung", (0, 1, 2, 4, 5)),
                                                   ("MR", "Spine", range(4)))):
        for number, z in enumerate(places, 1):
            write_slice(f"{folder}/IM{k}{number:03}", f"1.2.826.{k + 1}", modality, words, number, 2 * z)
