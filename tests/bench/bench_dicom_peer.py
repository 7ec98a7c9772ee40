"""A CT series of 500 slices, 512 x 512, made with pydicom in a temporary folder: reading it here (bench-dicom), with
pydicom + numpy, and with dcm2niix (which also writes a file; to memory where /dev/shm is)."""
import glob, json, os, shutil, subprocess, sys, tempfile, time
try:
    import numpy as np
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
except ImportError as e:
    print(f"peer: {e}", file=sys.stderr)
    sys.exit(77)

SLICES = 500


def make(folder):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:512, :512]
    body = (((x - 256) / 200.) ** 2 + ((y - 256) / 150.) ** 2 < 1) * 1000
    noise = rng.integers(0, 200, (512, 1024))
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(SLICES):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        name = os.path.join(folder, f"IM{k * 211 % SLICES:05d}.dcm")
        d = FileDataset(name, {}, file_meta=meta, preamble=b"\0" * 128)
        d.is_little_endian, d.is_implicit_VR = True, False
        d.SOPClassUID, d.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        d.Modality, d.PatientName, d.PatientID = "CT", "Bench", "1"
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.SeriesNumber, d.InstanceNumber, d.ImageType = 2, k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        d.StudyDate, d.StudyTime, d.Manufacturer = "20200101", "120000", "Bench"
        d.ImagePositionPatient, d.ImageOrientationPatient = [-200, -200, -0.7 * k], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness = [0.78125, 0.78125], 0.7
        d.Rows = d.Columns = 512
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 12, 11, 0
        d.RescaleSlope, d.RescaleIntercept = 1, -1024
        d.PixelData = (body + noise[:, k:k + 512]).astype(np.uint16).tobytes()
        d.save_as(name, write_like_original=False)


def with_pydicom(folder):
    files = [pydicom.dcmread(f) for f in glob.glob(os.path.join(folder, "*.dcm"))]
    files.sort(key=lambda d: float(d.ImagePositionPatient[2]))
    return np.stack([d.pixel_array for d in files])


def with_dcm2niix(folder):
    out = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    subprocess.run(["dcm2niix", "-z", "n", "-o", out, folder], stdout=subprocess.DEVNULL, check=True)
    shutil.rmtree(out)


def best(function, folder, times):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function(folder)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


folder = tempfile.mkdtemp()
try:
    make(folder)
    peers = {"pydicom": best(with_pydicom, folder, 3)}
    if shutil.which("dcm2niix"):
        peers["dcm2niix"] = best(with_dcm2niix, folder, 3)
    ours = float(subprocess.run([os.environ["BENCH_PROGRAM"], folder], stdout=subprocess.PIPE, text=True, check=True).stdout)
    for peer, value in peers.items():
        print(json.dumps({"bench": "dicom", "case": f"{SLICES} slices", "unit": "s", "ours": ours, "peer": peer,
                          "peer_value": round(value, 4), "ratio": round(value / ours, 4)}))
finally:
    shutil.rmtree(folder)
