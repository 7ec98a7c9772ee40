#!/usr/bin/env python3
"""HDF5 files as h5py and ITK write them, and what is in them: hdf5.json, read by tests/formats/test-hdf5.c and, as seeds
of damage, by tests/codec/test-hostile-hdf5.c.

Every element type in both byte orders, every layout and filter that is read, those that are refused, groups, links,
two to five axes, and the customs for the size and place of voxels. Files are deflated (zlib) and in base64; the voxels
of a dataset are a SHA-256 of their little-endian bytes in a volume's order, as h5py reads them back. Run with h5py,
NumPy and SimpleITK installed; prints JSON.
"""
import base64
import hashlib
import json
import os
import tempfile
import zlib

import h5py
import numpy as np
import SimpleITK as sitk

rng = np.random.default_rng(5)
folder = tempfile.mkdtemp()
TYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def numbers(code, shape):
    dtype = np.dtype(code)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    array = rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)
    array.flat[0], array.flat[-1] = info.min, info.max
    return array


def smooth(shape, code="<u2"):
    """Numbers that can be packed."""
    return (np.cumsum(rng.integers(0, 3, int(np.prod(shape)))) // 4).reshape(shape).astype(code)


def planes(array, last):
    """(channel, z, y, x) of an array by the rule of axes."""
    while array.ndim > 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 5:
        array = array.reshape((-1,) + array.shape[2:])
    if array.ndim == 4 and last:
        array = np.moveaxis(array, -1, 0)
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def expect(array, last=False, **more):
    voxels = np.ascontiguousarray(planes(array, last))
    if voxels.dtype.kind == "b":
        voxels = voxels.astype("u1")
    digest = hashlib.sha256(voxels.astype(voxels.dtype.newbyteorder("<")).tobytes()).hexdigest()
    return {"dims": list(voxels.shape[:0:-1]), "channels": voxels.shape[0], "dtype": voxels.dtype.name, "sha256": digest,
            **more}


def packed(path):
    with open(path, "rb") as file:
        data = file.read()
    return {"n": len(data), "file": base64.b64encode(zlib.compress(data, 9)).decode()}


def finish(path, datasets, refused=None, unlisted=()):
    """What h5py reads of each dataset; (name, last axis counts channels, more that is expected)."""
    with h5py.File(path, "r") as file:
        found = {name: expect(file[name][()], last, **more) for name, last, more in datasets}
    return {"name": os.path.basename(path), **packed(path), "datasets": found, "refused": refused or {},
            "unlisted": list(unlisted)}


def new(name, **how):
    path = os.path.join(folder, name)
    return path, h5py.File(path, "w", **how)


def types():
    path, file = new("types.h5")
    names = []
    with file:
        for code in TYPES:
            for order in "<>":
                if np.dtype(code).itemsize == 1 and order == ">":
                    continue
                name = "/" + np.dtype(code).name + ("-big" if order == ">" else "")
                file[name] = numbers(order + code if code != "?" else code, (2, 3, 5))
                names.append((name, False, {}))
        for order in "<>":
            file.create_dataset("/packed" + order, data=numbers(order + "i4", (2, 3, 5)), chunks=(2, 2, 3),
                                compression="gzip", shuffle=True)
            names.append(("/packed" + order, False, {}))
    return finish(path, names)


def layouts():
    path, file = new("layouts.h5")
    shape, chunks = (7, 9, 11), (3, 4, 5)
    data = smooth(shape)
    with file:
        file["contiguous"] = data
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((5, 6, 7))
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.STD_U16BE, space, plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, smooth((5, 6, 7)))
        file.create_dataset("chunked", data=data, chunks=chunks)
        file.create_dataset("gzip", data=data, chunks=chunks, compression="gzip", compression_opts=9)
        file.create_dataset("shuffle", data=data, chunks=chunks, shuffle=True)
        file.create_dataset("shuffle-gzip", data=data, chunks=chunks, shuffle=True, compression="gzip")
        file.create_dataset("fletcher32", data=data, chunks=chunks, fletcher32=True)
        file.create_dataset("odd-fletcher32", data=data.astype("u1"), chunks=chunks, fletcher32=True)
        file.create_dataset("all", data=data, chunks=chunks, shuffle=True, compression="gzip", fletcher32=True)
        file.create_dataset("lzf", data=data, chunks=chunks, compression="lzf")
        file.create_dataset("all-lzf", data=data.astype(">f8"), chunks=chunks, shuffle=True, compression="lzf",
                            fletcher32=True)
        # random bytes do not shrink: h5py's filter leaves their chunks as they are
        file.create_dataset("lzf-left-out", data=rng.integers(0, 256, (4, 5, 6)).astype("u1"), chunks=(2, 5, 6),
                            compression="lzf")
        file.create_dataset("one-slice-a-chunk", data=data, chunks=(1, 9, 11), compression="lzf")
        holes = file.create_dataset("holes", shape, "i2", chunks=chunks, compression="gzip", fillvalue=-7)
        holes[3:5, 2:6, 1:3] = 5
        file.create_dataset("unwritten", (3, 4, 5), ">i2", fillvalue=1234)
        file.create_dataset("unwritten-chunks", (3, 4, 5), "f4", chunks=(2, 2, 2), fillvalue=0.5)
        file.create_dataset("growing", data=data[:2], chunks=(4, 4, 4), maxshape=(None, None, None), compression="gzip")
        file.create_dataset("scaleoffset", data=data, chunks=chunks, scaleoffset=0)
        names = [n for n in file if n != "scaleoffset"]
    return finish(path, [("/" + n, False, {}) for n in names], {"/scaleoffset": "filter scaleoffset (6)"})


def latest():
    """The indexes of chunks of HDF5 1.10, behind a block of another program."""
    path, file = new("latest.hdf5", libver=("v110", "v110"), userblock_size=1024)
    data = smooth((6, 7, 8), "<i4")
    with file:
        file.create_dataset("fixed-array", data=data, chunks=(2, 3, 4), compression="gzip")
        file.create_dataset("extensible-array", data=data, chunks=(2, 3, 4), maxshape=(None, 7, 8), compression="lzf")
        file.create_dataset("tree", data=data, chunks=(2, 3, 4), maxshape=(None, None, 8), shuffle=True)
        file.create_dataset("single", data=data, chunks=(6, 7, 8), compression="gzip")
        file["contiguous"] = data
        names = list(file)
    return finish(path, [("/" + n, False, {}) for n in names])


def groups():
    path, file = new("groups.h5")
    cube = smooth((3, 4, 5))
    with file:
        file["a/b/c"] = cube
        file["a/again"] = file["a"]  # a circle
        file["한글/이미지"] = cube
        file["two"] = smooth((4, 5))
        file["four"] = smooth((2, 3, 4, 5))
        file["four-last"] = smooth((3, 4, 5, 2))
        file["five"] = smooth((2, 2, 2, 3, 4))
        file["six"] = smooth((1, 1, 2, 3, 4, 5))
        file["labels"] = smooth((3, 4, 5), "u1")
        file["text"] = np.array([[b"ab", b"c"], [b"d", b"e"]])
        file.create_dataset("words", (2, 2), h5py.string_dtype())
        file["compound"] = np.zeros((2, 2), [("x", "f4"), ("y", "f4")])
        file["complex"] = np.zeros((2, 2), "c8")
        file.create_dataset("lists", (2, 2), h5py.vlen_dtype(np.int32))
        file.create_dataset("links", (2, 2), h5py.ref_dtype)
        file["opaque"] = np.zeros((2, 2), "V3")
        file["long"] = np.zeros((2, 2), "longdouble")
        file["scalar"] = 3.5
        file["null"] = h5py.Empty("f4")
        file["one"] = np.arange(40)
        file["zero"] = np.zeros((0, 4, 5))
        file["seven"] = np.zeros((2,) * 7, "u1")
        file["line"] = np.zeros((1, 1, 40))
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/data")
        file["soft"] = h5py.SoftLink("/two")
        file.create_dataset("outside", (2, 3, 4), "u1", external=[("/etc/passwd", 0, 24)])
        layout = h5py.VirtualLayout((2, 4, 5), "u2")
        layout[0] = h5py.VirtualSource("other.h5", "x", (4, 5))
        file.create_virtual_dataset("virtual", layout)
    refused = {"/text": "(string)", "/words": "(string)", "/compound": "(compound)", "/complex": "(compound)",
               "/lists": "lists of varying length", "/links": "(reference)", "/opaque": "(opaque)",
               "/long": "floating point of unusual form", "/scalar": "fewer than two axes",
               "/null": "empty", "/one": "fewer than two axes", "/zero": "empty", "/seven": "more than five axes",
               "/elsewhere": "link into another file", "/outside": "external storage", "/virtual": "virtual dataset",
               "/soft": "there is no /soft"}
    last = {"four-last"}
    names = ["a/b/c", "한글/이미지", "two", "four", "four-last", "five", "six", "labels", "line"]
    return finish(path, [("/" + n, n in last, {}) for n in names], refused, ["/line"])


def ras(spacing, origin, direction):
    """Affine of ITK's numbers, row-major 3 x 4."""
    matrix = np.column_stack([np.reshape(direction, (3, 3)) * spacing, origin])
    return (np.diag([-1.0, -1, 1]) @ matrix).ravel().tolist()


def places():
    path, file = new("places.h5")
    cube = smooth((3, 4, 5))
    by_axis = [0.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0]
    spacing, origin = (0.5, 2.0, 3.0), (10.0, -20.0, 30.5)
    direction = [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1]
    affine = np.array([[0.1, 0, -2, 7], [0.3, 3, 0, 8], [4, 0.5, 0, 9], [0, 0, 0, 1]])
    with file:
        for name in ("spacing", "voxel_spacing", "voxel_size"):
            file[name + "-attr"] = cube
            file[name + "-attr"].attrs[name] = [3.0, 2.0, 0.5]
        file["um"] = cube
        file["um"].attrs["element_size_um"] = np.array([3000, 2000, 500], "f4")
        file["flat"] = cube[0]
        file["flat"].attrs["spacing"] = [2.0, 0.5]
        file["affine-attr"] = cube
        file["affine-attr"].attrs["affine"] = affine
        file["itk-attr"] = cube
        file["itk-attr"].attrs["spacing"] = spacing
        file["itk-attr"].attrs["origin"] = origin
        file["itk-attr"].attrs["direction"] = direction
        file["beside/image"] = cube
        file["beside/affine"] = affine
        file["tags"] = smooth((4, 3, 5, 6))
        file["tags"].attrs["axistags"] = json.dumps({"axes": [{"key": k, "typeFlags": 2} for k in "zyxc"]})
        file["axis"] = smooth((4, 3, 5, 2))
        file["axis"].attrs["channel_axis"] = 0
        file["scaled"] = smooth((3, 4, 5), "i2")
        file["scaled"].attrs["slope"] = 0.25
        file["scaled"].attrs["intercept"] = -1000.0
        file["none"] = cube
        file["bad"] = cube
        file["bad"].attrs["spacing"] = [0.0, -1.0, np.nan]
        file["affine"] = np.eye(3)  # no image, and no 4 x 4 for the others
    over_axes = np.column_stack([affine[:3, 2], affine[:3, 1], affine[:3, 0], affine[:3, 3]]).ravel().tolist()
    sized = {"affine": by_axis, "warns": "not where they lie"}
    flat = [0.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0]
    unit = {"affine": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "warns": "1 mm"}
    known = {"affine": over_axes, "warns": ""}
    datasets = [("/spacing-attr", False, sized), ("/voxel_spacing-attr", False, sized), ("/voxel_size-attr", False, sized),
                ("/um", False, sized), ("/flat", False, {"affine": flat, "warns": "not where they lie"}),
                ("/affine-attr", False, known), ("/beside/image", False, known),
                ("/itk-attr", False, {"affine": ras(spacing, origin, direction), "warns": ""}),
                ("/tags", True, unit), ("/axis", False, unit), ("/none", False, unit), ("/bad", False, unit),
                ("/scaled", False, {"slope": 0.25, "intercept": -1000.0})]
    return finish(path, datasets, {}, ["/affine"])


def itk(name, colours):
    """A file of ITK's own."""
    path = os.path.join(folder, name)
    shape = (3, 4, 5) + ((3,) if colours else ())
    image = sitk.GetImageFromArray(smooth(shape, "i2"), isVector=colours)
    image.SetSpacing((0.5, 2.0, 3.0))
    image.SetOrigin((10.0, -20.0, 30.5))
    image.SetDirection((0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))
    sitk.WriteImage(image, path)
    affine = ras(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    done = finish(path, [])
    done["datasets"]["/ITKImage/0/VoxelData"] = expect(sitk.GetArrayFromImage(image), colours, affine=affine, warns="")
    done["only"] = True
    return done


def main():
    files = [types(), layouts(), latest(), groups(), places(), itk("itk.h5", False), itk("itk-vector.hdf5", True)]
    print(json.dumps({"files": files}, ensure_ascii=False, separators=(",", ":")))


main()
