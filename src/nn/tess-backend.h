#pragma once

#include "tess-communicator.h"
#include "tess-device-data.h"
#include "tess-graph.h"

G_BEGIN_DECLS

/* The contract between nn and what computes. One thread uses a device and its programs at a time. Failures are
 * GErrors (UNSUPPORTED NO_MEMORY DEVICE_LOST BAD_SHAPE IO), never an abort. */
#define TESS_BACKEND_ABI 8u

typedef struct _TessDevice  TessDevice;  /* defined by each backend */
typedef struct _TessBuffer  TessBuffer;  /* device memory outside programs */
typedef struct _TessProgram TessProgram;

#define TESS_CARD_ID_SIZE 16

typedef struct {
  char     name[128];
  guint64  memory_total, memory_free; /* bytes */
  gboolean bf16; /* bf16 is faster than f32 here and will be used by --precision auto */
  char     detail[128]; /* "AVX-512 BF16", "sm_90" */
  guint8   card[TESS_CARD_ID_SIZE]; /* the same only for the same card, also in other processes; zero: the processor */
} TessDeviceInfo;

typedef struct {
  gsize arena[TESS_N_ARENAS];
  gsize workspace; /* taken by bind besides the arenas: what is kept from run to run, such as packed weights */
} TessRequirements;

#define TESS_MAX_HEADS 8

typedef struct {
  double  learning_rate, momentum, weight_decay, clip_norm; /* TRAIN programs */
  double  head_weight[TESS_MAX_HEADS]; /* weight of every loss op in the gradient */
  guint64 param_version; /* a program packs the weights again when this differs from its last run */
  double  beta1, beta2, epsilon; /* ... with Adam */
  gint64  step;                  /* TRAIN programs: which step of the whole run this is, from 1 */
  guint64 seed;                  /* ... and what their random ops draw from */
  /* More than one rank: the program holds this rank's share of a batch. What a loss divides by, and its Dice sums, are
   * those of all shares; the gradients are summed over the ranks before their norm is taken, so that every rank makes
   * the step of the whole batch. NULL: alone. A backend with TESS_BACKEND_REDUCES. */
  const TessCommunicator *communicator;
} TessStepArgs;

typedef enum {
  TESS_BACKEND_TRAINS = 1 << 0, /* runs every op kind, backward and optimiser too; "auto" takes a plugin only then */
  TESS_BACKEND_REDUCES = 1 << 1, /* trains over several ranks (TessStepArgs.communicator) */
  TESS_BACKEND_SAMPLES = 1 << 2, /* draws patches out of scans in its memory; else they are drawn by the host */
} TessBackendFlags;

typedef struct _TessBackendIface {
  guint32     abi;   /* TESS_BACKEND_ABI */
  guint32     flags; /* TessBackendFlags */
  const char *id;  /* "cpu", "cuda" */
  const char *name;
  guint       (*n_devices)   (GError **error); /* 0 with an error says why there is none */
  gboolean    (*device_info) (guint index, TessDeviceInfo *info, GError **error);
  TessDevice *(*open)        (guint index, guint n_threads, GError **error); /* n_threads: CPU; 0 = all cores */
  void        (*close)       (TessDevice *device);
  /* Before programs are bound that run with other ranks; all of them call it, and all close such a device. After a run
   * that failed it may refuse everything, and keep what it holds, until the process ends. NULL: nothing to do. */
  gboolean    (*join)        (TessDevice *device, const TessCommunicator *communicator, GError **error);

  TessBuffer *(*buffer_new)  (TessDevice *device, gsize bytes, GError **error); /* zeroed */
  void        (*buffer_free) (TessBuffer *buffer);
  void       *(*buffer_host) (TessBuffer *buffer); /* its address where the host can use it directly, else NULL */
  gboolean    (*upload)      (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error);
  gboolean    (*download)    (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error);

  /* Builds everything but takes no arena memory: what it needs is known before anything is taken. It may place the
   * graph's activations anew, beside what its ops work in (tess_graph_place_scratch). */
  TessProgram *(*prepare)      (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error);
  /* arenas[a] is NULL where requirements->arena[a] is 0; the buffers outlive the program. */
  gboolean     (*bind)         (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error);
  gboolean     (*run)          (TessProgram *program, const TessStepArgs *args, GError **error); /* returns when done */
  void         (*program_free) (TessProgram *program);

  /* Zeroed memory of the host's that the device reaches where it stands, slower than its own: for what does not fit
   * there. What follows returns when it is queued; whatever is asked of the device later finds it done. */
  TessBuffer *(*buffer_new_near) (TessDevice *device, gsize bytes, GError **error);
  gboolean    (*band_clear)  (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error); /* slices z0 .. z1 - 1 */
  gboolean    (*band_add)    (TessDevice *device, const TessBand *band, const TessBandTile *tile, GError **error);
  gboolean    (*band_mean)   (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error); /* 0 where no tile was */
  gboolean    (*band_labels) (TessDevice *device, const TessBand *band, const TessBandLabels *labels, GError **error);
  gboolean    (*sample)      (TessDevice *device, const TessSample *sample, GError **error); /* TESS_BACKEND_SAMPLES */

  /* Copies beside what runs; NULL where there is nothing to gain. begin: out of buffer_new_near's memory, which stays as it
   * is until the end, while the buffer keeps what it holds. end: all that was begun is in place for whatever is asked of
   * the device later, and what it was read from is free again, after a failure, too. */
  gboolean    (*upload_begin) (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error);
  gboolean    (*upload_end)   (TessDevice *device, GError **error);
} TessBackendIface;

/* A plugin exports this; returns NULL for a host ABI it does not speak. */
typedef const TessBackendIface *(*TessBackendQuery) (guint32 host_abi);
#define TESS_BACKEND_QUERY_SYMBOL "tess_backend_query"

/* Registry. Linked-in backends are registered by the program; plugins are opened by
 * tess_plugin_open(). */
void                    tess_backend_register (const TessBackendIface *iface);
const TessBackendIface *tess_backend_find     (const char *id, GError **error); /* loads the plugin when needed */
/* "auto": cuda when it can train and has a device, else cpu. why: one line for the user (new string). */
const TessBackendIface *tess_backend_choose   (const char *id_or_auto, char **why, GError **error);
guint                   tess_backends_known   (const char *const **ids); /* "cpu", "cuda" */

/* A new buffer that holds a copy of data; for backend->buffer_free(). */
TessBuffer *tess_backend_upload_new (const TessBackendIface *backend, TessDevice *device, const void *data, gsize bytes,
                                     GError **error);

G_END_DECLS
