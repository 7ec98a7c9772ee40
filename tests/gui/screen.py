"""What is on the display: pixels straight from Xvfb's frame buffer, which it keeps in a file (XWD), and PNG files."""
import mmap
import os
import struct
import zlib


class Frame:
    """A piece of the screen: width, height and its pixels (32 bits each, blue first)."""

    def __init__(self, width, height, pixels):
        self.width, self.height, self.pixels = width, height, pixels

    def __eq__(self, other):
        return (self.width, self.height, self.pixels) == (other.width, other.height, other.pixels)

    def difference(self, other):
        """The share of pixels that differ; 1 when the sizes do."""
        if (self.width, self.height) != (other.width, other.height):
            return 1.0
        a, b = memoryview(self.pixels).cast("I"), memoryview(other.pixels).cast("I")
        different = 0
        for y in range(self.height):
            row = slice(y * self.width, (y + 1) * self.width)
            if a[row] != b[row]:
                different += sum(map(int.__ne__, a[row], b[row]))
        return different / max(self.width * self.height, 1)

    def share(self, fits):
        """The share of pixels for which fits (red, green, blue)."""
        counts = {}
        for pixel in memoryview(self.pixels).cast("I"):
            counts[pixel] = counts.get(pixel, 0) + 1
        n = sum(count for p, count in counts.items() if fits(p >> 16 & 255, p >> 8 & 255, p & 255))
        return n / max(self.width * self.height, 1)

    def save(self, path):
        """As PNG."""
        rgb = bytearray(self.width * self.height * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = self.pixels[2::4], self.pixels[1::4], self.pixels[0::4]
        row = self.width * 3
        lines = b"".join(b"\0" + rgb[y * row:(y + 1) * row] for y in range(self.height))

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        with open(path, "wb") as png:
            header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
            png.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                      chunk(b"IDAT", zlib.compress(lines, 6)) + chunk(b"IEND", b""))


def grab(box=None):
    """The pixels of a box (x, y, width, height) of the screen, cut off at its edges; of all of it without one."""
    with open(os.environ["TESSERA_FRAME_BUFFER"], "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        header = struct.unpack(">25I", view[:100])
        start, width, height, bits, line = header[0] + header[19] * 12, header[4], header[5], header[11], header[12]
        if bits != 32 or header[7] != 0:
            raise OSError("the frame buffer is not of little-endian 32-bit pixels")
        x, y, w, h = box or (0, 0, width, height)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            return Frame(0, 0, b"")
        return Frame(right - left, bottom - top, b"".join(
            view[start + row * line + left * 4:start + row * line + right * 4] for row in range(top, bottom)))
