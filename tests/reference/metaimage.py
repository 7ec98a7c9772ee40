#!/usr/bin/env python3
"""What SimpleITK (ITK's MetaImage reader) makes of MetaImage files: real ones, and small ones with every way to write a
header.

usage: metaimage.py DATA_FOLDER > metaimage.json      (DATA_FOLDER holds metaimage/; needs SimpleITK and nibabel)
"""
import base64
import gzip
import hashlib
import json
import os
import shutil
import sys
import tempfile
import zlib

import nibabel as nib
import numpy as np
import SimpleITK as sitk

sitk.ProcessObject.SetGlobalWarningDisplay(False)
root = sys.argv[1]


def describe(path):
    """Size, type, affine (voxel -> RAS) and a digest of the voxels, channel after channel, x fastest, little-endian."""
    try:
        im = sitk.ReadImage(path)
        data = sitk.GetArrayFromImage(im)
    except RuntimeError:
        return {"fails": True}
    n = im.GetDimension()
    components = im.GetNumberOfComponentsPerPixel()
    if components > 1:
        data = np.moveaxis(data, -1, 0)
    size = list(im.GetSize()) + [1] * 3
    direction = np.array(im.GetDirection()).reshape(n, n)
    m = min(n, 3)
    affine = np.eye(4)
    affine[:m, :m] = (direction * np.array(im.GetSpacing()))[:m, :m]
    affine[:m, 3] = im.GetOrigin()[:m]
    affine = np.diag([-1, -1, 1, 1]) @ affine
    little = np.ascontiguousarray(data.astype(data.dtype.newbyteorder("<")))
    return {
        "dims": size[:3],
        "channels": components * (size[3] if n > 3 else 1),
        "dtype": data.dtype.name,
        "affine": [[float(repr(float(v) + 0.0)) for v in row] for row in affine[:3]],
        "orientation": "".join(nib.aff2axcodes(affine)),
        "sha256": hashlib.sha256(little.tobytes()).hexdigest(),
    }


def real_files():
    out = []
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith((".mha", ".mhd")):
                path = os.path.join(folder, name)
                seen = describe(path)
                if "fails" in seen:
                    seen = describe_renamed(path)
                out.append({"file": os.path.relpath(path, root)} | seen)
    return out


def describe_renamed(path):
    """With the data file under the very name the header gives it, where only capitals differ."""
    with open(path) as f:
        wanted = [line.split("=")[1].strip() for line in f if line.startswith("ElementDataFile")][0]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        for name in os.listdir(os.path.dirname(path)):
            if name.lower() == wanted.lower():
                shutil.copy(os.path.join(os.path.dirname(path), name), os.path.join(folder, wanted))
        return describe(os.path.join(folder, os.path.basename(path)))


values = np.arange(12, dtype="<i2")
plain = values.tobytes()
packed = zlib.compress(plain)
zipped = gzip.compress(plain, mtime=0)
START = "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 3 2 2\n"
END = "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"


def beside(more):
    return START + more + "ElementType = MET_SHORT\nElementDataFile = voxels.raw\n"


def kinds(name, size):
    return START + f"ElementType = {name}\nElementDataFile = LOCAL\n", np.arange(12, dtype=size).tobytes()


# name: header, what follows it, the file beside it
headers = {
    "plain": (START + END, plain),
    "colons": ((START + END).replace(" =", ":"), plain),
    "no blanks": ((START + END).replace(" = ", "="), plain),
    "comment": ("Comment = hello # = :\n# a remark\n" + START + "\n\n" + END, plain),
    "unknown field": (START + "Foo = bar\n" + END, plain),
    "matrix": (START + "TransformMatrix = 1 2 3 4 5 6 7 8 10\n" + END, plain),
    "rotation, position, size": (START + "Rotation = 0 1 0 0 0 1 1 0 0\nPosition = 1 2 3\nElementSize = 1 2 3\n" + END, plain),
    "orientation, origin": (START + "Orientation = 0 1 0 0 0 1 1 0 0\nOrigin = 1 2 3\n" + END, plain),
    "offset, position, origin": (START + "Offset = 4 5 6\nPosition = 1 2 3\nOrigin = 7 8 9\n" + END, plain),
    "position, offset": (START + "Offset = 4 5 6\nPosition = 1 2 3\n" + END, plain),
    "matrix, rotation": (START + "TransformMatrix = 0 1 0 0 0 1 1 0 0\nRotation = 1 0 0 0 0 1 0 1 0\n" + END, plain),
    "orientation, rotation": (START + "Orientation = 0 1 0 0 0 1 1 0 0\nRotation = 1 0 0 0 0 1 0 1 0\n" + END, plain),
    "size, spacing": (START + "ElementSize = 9 9 9\nElementSpacing = 1 2 3\n" + END, plain),
    "negative spacing": (START + "ElementSpacing = 1 -2 3\n" + END, plain),
    "no directions": (START + "TransformMatrix = 0 0 0 0 0 0 0 0 0\n" + END, plain),
    "few directions": (START + "TransformMatrix = 1 0 0\n" + END, plain),
    "few spacings": (START + "ElementSpacing = 2\n" + END, plain),
    "scale": (START + "ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = 10\n" + END, plain),
    "twice": (START + "ElementSpacing = 1 2 3\nElementSpacing = 4 5 6\n" + END, plain),
    "line ends": ((START + END).replace("\n", "\r\n"), plain),
    "blank at the end": (START + END.replace("LOCAL", "LOCAL  "), plain),
    "no object": ((START + END).replace("ObjectType = Image\n", ""), plain),
    "dims with points": ((START + END).replace("3 2 2", "3.0 2.0 2.0"), plain),
    "type too late": (START + "ElementDataFile = LOCAL\n", b"ElementType = MET_SHORT\n" + plain),
    "big 1": (START + "BinaryDataByteOrderMSB = 1\n" + END, plain),
    "big true": (START + "BinaryDataByteOrderMSB = true\n" + END, plain),
    "big element": (START + "ElementByteOrderMSB = True\n" + END, plain),
    "big neither": (START + "BinaryDataByteOrderMSB = False\nElementByteOrderMSB = True\n" + END, plain),
    "short": (START + END, plain[:-1]),
    "long": (START + END, plain + b"xyz"),
    "two axes": ("NDims = 2\nDimSize = 3 4\nTransformMatrix = 0 1 -1 0\nOffset = 5 6\nElementSpacing = 2 3\n" + END, plain),
    "four axes": ("NDims = 4\nDimSize = 3 2 1 2\nElementSpacing = 2 3 4 5\nOffset = 1 2 3 4\nTransformMatrix = "
                  "0 1 0 0 -1 0 0 0 0 0 1 0 0 0 0 1\n" + END, plain),
    "two channels": (START.replace("3 2 2", "3 1 2") + "ElementNumberOfChannels = 2\n" + END, plain),
    "four axes, two channels": ("NDims = 4\nDimSize = 3 1 1 2\nElementNumberOfChannels = 2\n" + END, plain),
    "array": (START.replace("3 2 2", "3 1 2") + "ElementNumberOfChannels = 4\n" + END.replace("SHORT", "UCHAR_ARRAY"), plain),
    "zlib": (START + f"CompressedData = True\nCompressedDataSize = {len(packed)}\n" + END, packed),
    "zlib, padded size": (START + f"CompressedData = True\nCompressedDataSize = {len(packed):20}\n" + END, packed),
    "zlib, big": (START + f"ElementByteOrderMSB = T\nCompressedData = T\nCompressedDataSize = {len(packed)}\n" + END, packed),
    "gzip": (START + f"CompressedData = True\nCompressedDataSize = {len(zipped)}\n" + END, zipped),
    "header size at the end": (START + "HeaderSize = -1\n" + END, b"xxxxx" + plain),
    "header size from the start": (START + "HeaderSize = 5\n" + END, plain),
    "beside": (beside(""), b"", plain),
    "beside, header": (beside("HeaderSize = 5\n"), b"", b"12345" + plain),
    "beside, header at the end": (beside("HeaderSize = -1\n"), b"", b"1234567" + plain),
    "beside, zlib": (beside("CompressedData = True\n"), b"", packed),
    "beside, short": (beside(""), b"", plain[:-1]),
    "uchar": kinds("MET_UCHAR", "u1"), "char": kinds("MET_CHAR", "i1"),
    "ushort": kinds("MET_USHORT", "<u2"), "uint": kinds("MET_UINT", "<u4"), "int": kinds("MET_INT", "<i4"),
    "ulong": kinds("MET_ULONG", "<u4"), "long type": kinds("MET_LONG", "<i4"),
    "ulonglong": kinds("MET_ULONG_LONG", "<u8"), "longlong": kinds("MET_LONG_LONG", "<i8"),
    "float": kinds("MET_FLOAT", "<f4"), "double": kinds("MET_DOUBLE", "<f8"),
}


def header_files():
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in headers.items():
            ending = "mha" if parts[1] else "mhd"
            path = os.path.join(folder, "in." + ending)
            content = parts[0].encode() + parts[1]
            with open(path, "wb") as f:
                f.write(content)
            entry = {"name": name, "ending": ending, "content": base64.b64encode(content).decode()}
            if len(parts) > 2:
                with open(os.path.join(folder, "voxels.raw"), "wb") as f:
                    f.write(parts[2])
                entry["beside"] = base64.b64encode(parts[2]).decode()
            out.append(entry | describe(path))
    return out


def lines(entries):
    return "[\n" + ",\n".join(json.dumps(e) for e in entries) + "\n]"


print(f'{{"files": {lines(real_files())},\n"headers": {lines(header_files())}}}')
