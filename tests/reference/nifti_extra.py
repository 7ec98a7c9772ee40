#!/usr/bin/python3
"""NIfTI and Analyze files with colours, complex numbers, label names and unusual headers, and what nibabel reads.

usage: nifti_extra.py > nifti_extra.json

"values": every channel after the other, x fastest. A voxel of several numbers gives as many channels, its first number
first; the order of volumes within is that of the file.
"""
import base64
import io
import json
import os
import struct
import sys
import tempfile

import nibabel as nib
import numpy as np

out = []
rng = np.random.default_rng(7)


def b64(data):
    return base64.b64encode(data).decode()


def bytes_of(image):
    files = image.make_file_map()
    for holder in files.values():
        holder.fileobj = io.BytesIO()
    image.to_file_map(files)
    return {key: holder.fileobj.getvalue() for key, holder in files.items()}


def load(files):
    """As nibabel opens them by name."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
        image = nib.load(os.path.join(folder, list(files)[0]))
        return image, np.asarray(image.dataobj)


def parts(array):
    """The numbers of a voxel as a new slowest axis, the first one first."""
    if array.dtype.names:
        return [np.asarray(array[n], np.float64) for n in array.dtype.names]
    if array.dtype.kind == "c":
        return [array.real.astype(np.float64), array.imag.astype(np.float64)]
    return [array.astype(np.float64)]


def add(name, files, **more):
    """files: nibabel's keys -> bytes."""
    names = {"image": "x.nii"} if len(files) == 1 else {"header": "x.hdr", "image": "x.img"}
    files = {names[key]: files[key] for key in names}
    image, raw = load(files)
    components = parts(raw)
    dtype = image.get_data_dtype()
    flat = np.concatenate([c.ravel(order="F") for c in components])
    shape = list(image.shape) + [1, 1, 1]
    out.append(
        dict(
            name=name,
            files={k: b64(v) for k, v in files.items()},
            open=list(files)[0],
            dims=shape[:3],
            channels=int(np.prod(image.shape[3:], dtype=np.int64)) * len(components),
            dtype="uint8" if dtype.names else
            {"c8": "float32", "c16": "float64"}.get(dtype.str[1:], dtype.newbyteorder("=").name),
            affine=image.affine.tolist(),
            values=flat.tolist(),
            **more,
        )
    )


def nifti(array, kind=nib.Nifti1Image, order="<", affine=np.diag([-2.0, 3.0, 4.0, 1.0]), edit=None, extensions=()):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(array.dtype)
    image = kind(array, affine, header)
    image.header.set_xyzt_units("mm")
    for extension in extensions:
        image.header.extensions.append(extension)
    if edit:
        edit(image.header)
    return bytes_of(image)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
RGBA = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])


def colours(shape, dtype):
    raw = rng.integers(0, 256, shape + (len(dtype.names),), dtype=np.uint8)
    return raw.view(dtype)[..., 0]


for order in "<>":
    add("rgb" + order, nifti(colours((3, 4, 2), RGB), order=order), warning="red, green and blue", datatype=128)
add("rgba", nifti(colours((3, 4, 2), RGBA)), warning="opacity", datatype=2304)
add("rgba-2", nifti(colours((3, 2, 2), RGBA), nib.Nifti2Image), warning="opacity", datatype=2304)
add("rgb-pair", nifti(colours((3, 4, 2), RGB), nib.Nifti1Pair), warning="blue", datatype=128)
add("rgb-4d", nifti(colours((2, 3, 2, 2), RGB)), warning="2 volumes of 3 components", datatype=128)


def complex_of(shape, dtype):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


for order in "<>":
    add("complex64" + order, nifti(complex_of((2, 3, 2), np.complex64), order=order), warning="imaginary", datatype=32)
    add("complex128" + order, nifti(complex_of((2, 3, 2), np.complex128), order=order), warning="imaginary",
        datatype=1792)


def scaled(files):
    data = bytearray(files["image"])
    struct.pack_into("<ff", data, 112, 2.5, 0.0)
    return {"image": bytes(data)}


add("complex64-scaled", scaled(nifti(complex_of((2, 3, 2), np.complex64))), warning="imaginary", datatype=32)


def vector(header):
    header["intent_code"] = 1007


def rgb_vector(header):
    header["intent_code"] = 2003


small = lambda shape: rng.integers(-900, 900, shape).astype(np.int16)
add("vector", nifti(small((3, 2, 2, 1, 3)), edit=vector), datatype=4)
add("rgb-vector", nifti(small((3, 2, 2, 3)), edit=rgb_vector), datatype=4)
add("time-and-vector", nifti(small((3, 2, 2, 2, 3)), edit=vector), warning="2 volumes of 3 components each", datatype=4)
add("seven-axes", nifti(small((3, 2, 2, 2, 1, 1, 1))), datatype=4)

# --- label names -------------------------------------------------------------------------------------------------------

TOTAL = """<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2024-01-02T03:04:05]]></Date>
<VolumeInformation Index="0">   <LabelTable>
<Label Key="1" Red="0.2" Green="1.0" Blue="0.0" Alpha="1"><![CDATA[spleen]]></Label>
<Label Key="300" Red="0.0" Green="0.5019607843137255" Blue="1.0" Alpha="0.5"><![CDATA[kidney & <left>]]></Label>
<Label Key="7" Red="1" Green="0" Blue="0" Alpha="1">left &amp; right</Label>
</LabelTable>  <StudyMetaDataLinkSet>  </StudyMetaDataLinkSet>  <VolumeType><![CDATA[Label]]></VolumeType>
</VolumeInformation></CaretExtension>"""
TABLE = [[1, "spleen", 51, 255, 0, 255], [7, "left & right", 255, 0, 0, 255], [300, "kidney & <left>", 0, 128, 255, 128]]
labels = rng.integers(0, 3, (3, 4, 2)).astype(np.uint16)
comment = nib.nifti1.Nifti1Extension("comment", b"a comment")
for order in "<>":
    for code in (0, 30):
        add(f"caret{order}{code}",
            nifti(labels, order=order, extensions=[comment, nib.nifti1.Nifti1Extension(code, TOTAL.encode())]),
            labels=TABLE, datatype=512)
add("not-labels", nifti(labels, extensions=[nib.nifti1.Nifti1Extension(0, b"<a><b/></a>")]), labels=[], datatype=512)
add("broken-labels", nifti(labels, extensions=[nib.nifti1.Nifti1Extension(0, TOTAL[:500].encode())]), labels=[],
    datatype=512)


def atlas(text, intent=1002):
    data = nifti(labels)["image"]
    text = text.ljust((len(text) + 15) // 16 * 16)
    head = bytearray(data[:352])
    struct.pack_into("<h", head, 68, intent)
    struct.pack_into("<f", head, 108, 352 + len(text))
    return {"image": bytes(head) + text + data[352:]}


add("atlas", atlas(b"1\tPrecentral_L\n2\tFrontal Sup R\n207 Area TeI (STG)\n"), datatype=512,
    labels=[[1, "Precentral_L"], [2, "Frontal Sup R"], [207, "Area TeI (STG)"]])
add("atlas-no-intent", atlas(b"1\tPrecentral_L\n", 0), datatype=512, labels=[])
add("atlas-prose", atlas(b"1\tPrecentral_L\nmade in 2020\n"), datatype=512, labels=[])

# --- Analyze -----------------------------------------------------------------------------------------------------------


def analyze(array, kind, order="<", origin=None, edit=None):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_zooms((2, 3, 4) + (1,) * (array.ndim - 3))
    files = bytes_of(kind(array, None, header))
    head = bytearray(files["header"])
    if origin:
        struct.pack_into(order + "3h", head, 253, *origin)
    if edit:
        edit(head, order)
    return {"header": bytes(head), "image": files["image"]}


def calibrated(head, order):
    struct.pack_into(order + "f", head, 112, 0.0)
    struct.pack_into(order + "ff", head, 124, 0.8, 0.2)
    struct.pack_into(order + "ii", head, 140, 110, 10)


def spm2(head, order):
    struct.pack_into(order + "ff", head, 112, 0.5, -3.0)


said = dict(warning="Analyze 7.5")
for order in "<>":
    add("analyze" + order, analyze(small((3, 4, 2)), nib.AnalyzeImage, order), **said)
    add("spm-origin" + order, analyze(small((3, 4, 2)), nib.Spm99AnalyzeImage, order, (2, 3, 1)),
        **said)
    add("spm2-scaled" + order, analyze(small((3, 4, 2)), nib.Spm2AnalyzeImage, order, edit=spm2),
        **said)
    add("calibrated" + order, analyze(small((3, 4, 2)), nib.AnalyzeImage, order, edit=calibrated),
        **said)
add("spm-far-origin", analyze(small((3, 4, 2)), nib.Spm99AnalyzeImage, "<", (2, 300, 1)), **said)
add("analyze-4d", analyze(small((3, 4, 2, 2)), nib.AnalyzeImage), **said)

# --- two positions -----------------------------------------------------------------------------------------------------


def differing(shift, angle=0.0, code=1):
    c, s = np.cos(angle), np.sin(angle)
    sform = np.array([[2.0, 0, 0, -10], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    qform = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ sform
    qform[:3, 3] += shift

    def edit(header):
        header.set_sform(sform, 2)
        header.set_qform(qform, code)

    files = nifti(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine=sform, edit=edit)
    header = nib.Nifti1Image.from_bytes(files["image"]).header
    corners = np.array([[x, y, z, 1] for x in (-0.5, 2.5) for y in (-0.5, 3.5) for z in (-0.5, 4.5)]).T
    offset = np.linalg.norm(((header.get_sform() - header.get_qform()) @ corners)[:3], axis=0).max()
    return files, float(offset)


for name, shift, angle, code, warned in (("shifted", (3, 4, 12), 0, 1, True), ("turned", (0, 0, 0), 0.3, 1, True),
                                         ("same", (0, 0, 0), 0, 1, False), ("no-qform", (3, 4, 12), 0, 0, False)):
    files, offset = differing(shift, angle, code)
    add(name, files, datatype=4, **({"warning": "qform, sform", "offset": offset} if warned else {"quiet": True}))

# --- refused -----------------------------------------------------------------------------------------------------------

six = nifti(small((3, 2, 2, 1, 1, 2)))["image"]
out.append(dict(name="six-axes", files={"x.nii": b64(six)}, open="x.nii", fails="axis 6"))
if np.dtype(np.complex256).itemsize == 32:
    quad = bytearray(nifti(complex_of((2, 1, 1), np.complex128))["image"])
    struct.pack_into("<hh", quad, 70, 2048, 256)
    out.append(dict(name="complex256", files={"x.nii": b64(bytes(quad) + bytes(32))}, open="x.nii", fails="complex128"))

# --- a label map made from a scan: its header is the scan's --------------------------------------------------------------


def result(version):
    kind = {1: nib.Nifti1Image, 2: nib.Nifti2Image}[version]

    def edit(header):
        header.set_xyzt_units("mm", "sec")
        header["descrip"] = b"FSL6.0 and a scanner"
        header["aux_file"] = b"none"
        header["cal_max"], header["cal_min"] = 200, -50
        header["toffset"] = 1.25
        header["scl_slope"], header["scl_inter"] = 2.0, -1024.0
        header["pixdim"][4:8] = (2.5, 0, 0, 0)
        header.set_dim_info(0, 1, 2)
        header["slice_code"], header["slice_end"], header["slice_duration"] = 1, 1, 0.07
        c, s = np.cos(0.2), np.sin(0.2)
        turned = np.array([[-c, s, 0, 11.3], [s, c, 0, -7.1], [0, 0, 1, 3.3], [0, 0, 0, 1]]) @ np.diag([0.7, 0.9, 2.5, 1])
        header.set_qform(turned, 1)
        turned[:3, 3] += 0.123456
        header.set_sform(turned, 4)

    scan = nifti(small((4, 3, 2)), kind, edit=edit, extensions=[comment])["image"]
    data = bytearray(scan)
    if version == 1:
        struct.pack_into("<ff", data, 112, 2.0, -1024.0)
    else:
        struct.pack_into("<dd", data, 176, 2.0, -1024.0)
    scan = bytes(data)
    image = kind.from_bytes(scan)
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_intent(1002)
    header["cal_max"] = header["cal_min"] = 0
    label = kind(np.ones((4, 3, 2), np.uint8), image.affine, header)
    written = bytearray(bytes_of(label)["image"])
    if version == 1:
        struct.pack_into("<ff", written, 112, 1.0, 0.0)
    else:
        struct.pack_into("<dd", written, 176, 1.0, 0.0)
    return dict(scan=b64(scan), label=b64(bytes(written)))


json.dump(dict(files=out, results=[result(1), result(2)]), sys.stdout)
print()
