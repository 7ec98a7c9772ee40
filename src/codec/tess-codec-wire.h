#pragma once

/* What program and helper say to each other, over one stream socket. A message is its length (4 bytes, native order) and
 * that many bytes of JSON; descriptors travel with the length. The program asks, the helper answers in order:
 *
 *   {"do":"memory"} + a memory file    {}                     voxels go there from now on; sealed against resizing
 *   {"do":"dicom-scan"} + a file       {...}                  what the file says of its pictures (tess-codec-dicom.cc)
 *   {"do":"dicom-decode", "at", "n"} + a file   {"n": n}      its voxels, unpacked, at byte `at` of the memory file;
 *                                                            of contours their points, three doubles each
 *
 * A failure is {"error": KIND, "detail": "..."}; the program makes the sentence. */

#define TESS_CODEC_SOCKET 3                     /* the helper's end */
#define TESS_CODEC_MAX_REQUEST (64u << 10)      /* bytes */
#define TESS_CODEC_MAX_ANSWER (64u << 20) /* a file of some 200,000 frames */

#define TESS_CODEC_NOT_DICOM "not-dicom"        /* the bytes are of another kind */
#define TESS_CODEC_DAMAGED "damaged"
#define TESS_CODEC_CUT "cut"                    /* voxels are missing at the end */
#define TESS_CODEC_NO_PIXELS "no-pixels"        /* a report, a plan */
#define TESS_CODEC_UNSUPPORTED "unsupported"    /* detail: what of it */
#define TESS_CODEC_NO_MEMORY "no-memory"
#define TESS_CODEC_MISUSE "misuse"              /* a request this helper does not know */
