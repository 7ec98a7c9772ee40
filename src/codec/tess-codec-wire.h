#pragma once

#include <stdint.h>

/* What program and helper say to each other, over one stream socket. A message is its length (4 bytes, native order) and
 * that many bytes of JSON; descriptors travel with the length. The program asks, the helper answers in order:
 *
 *   {"do":"memory"} + a memory file    {}                     voxels go there from now on; sealed against resizing
 *   {"do":"dicom-scan"} + a file       {...}                  what the file says of its pictures (tess-codec-dicom.cc)
 *   {"do":"dicom-decode", "at", "n"} + a file   {"n": n}      its voxels, unpacked, at byte `at` of the memory file;
 *                                                            of contours their points, three doubles each
 *   {"do":"hdf5-scan"} + a file        {...}                  what datasets it holds (tess-codec-hdf5.cc)
 *   {"do":"hdf5-chunks", "at", "n"} + a file   {"n": chunks}  where the dataset at address `at` has its bytes: a table of
 *                                                             TessCodecHdf5Chunk in the first n bytes of the memory
 *                                      {"inside": bytes}      or these bytes themselves, when they are a few
 *   {"do":"hdf5-frame", "n"} + a TessCodecHdf5Plan   {"n": bytes}   the HDF5 file around voxels that the program writes:
 *                                                             TESS_CODEC_HDF5_HEAD bytes for its front, then what
 *                                                             follows the voxels; n with both
 *
 * A failure is {"error": KIND, "detail": "..."}; the program makes the sentence. */

#define TESS_CODEC_SOCKET 3                     /* the helper's end */
#define TESS_CODEC_MAX_REQUEST (64u << 10)      /* bytes */
#define TESS_CODEC_MAX_ANSWER (64u << 20) /* a file of some 200,000 frames */

#define TESS_CODEC_OTHER_KIND "other-kind"      /* the bytes are of another kind */
#define TESS_CODEC_DAMAGED "damaged"
#define TESS_CODEC_CUT "cut"                    /* voxels are missing at the end */
#define TESS_CODEC_NO_PIXELS "no-pixels"        /* a report, a plan */
#define TESS_CODEC_UNSUPPORTED "unsupported"    /* detail: what of it */
#define TESS_CODEC_NO_MEMORY "no-memory"
#define TESS_CODEC_NOT_BUILT "not-built"        /* this helper has no library for such files */
#define TESS_CODEC_MISUSE "misuse"              /* a request this helper does not know */

/* A piece of a dataset as it stands in the file. */
typedef struct {
  uint64_t index; /* of the grid of chunks, last axis fastest */
  uint64_t at;    /* byte of the file */
  uint32_t n;     /* bytes there; 0 for a dataset in one piece: all of it */
  uint32_t mask;  /* bit i: filter i was left out */
} TessCodecHdf5Chunk;

#define TESS_CODEC_HDF5_HEAD 2048 /* bytes in front of the voxels */

/* A file to be: one dataset of shuffled and deflated chunks, one after the other from TESS_CODEC_HDF5_HEAD on. Behind the
 * plan stand the chunks' sizes (uint32_t, in the grid's order) and the labels as text. */
typedef struct {
  uint32_t is_float, is_signed, element_size, n_axes; /* native byte order */
  uint64_t shape[4], chunk[4];
  uint64_t n_chunks, n_labels;
  double affine[16], spacing[3], slope, intercept;
  uint32_t is_label, level;
} TessCodecHdf5Plan;
