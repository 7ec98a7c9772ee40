#pragma once

/* Private to the codec: one running helper. */

#include "tess-codec-client.h"

#include <sys/types.h>

G_BEGIN_DECLS

typedef struct {
  pid_t pid; /* 0: none runs */
  int socket;
} TessCodecProcess;

typedef enum {
  TESS_CODEC_ANSWERED,
  TESS_CODEC_DIED,      /* *status: as of waitpid() */
  TESS_CODEC_TOO_LONG,  /* it has been killed */
  TESS_CODEC_CANCELLED, /* it has been killed */
} TessCodecOutcome;

gboolean         tess_codec_process_start   (TessCodecProcess *process, guint64 memory, guint cpu_seconds, GError **error);
int              tess_codec_process_stop    (TessCodecProcess *process); /* kills; how it had ended */
gboolean         tess_codec_process_send    (TessCodecProcess *process, const char *request, int fd);
TessCodecOutcome tess_codec_process_receive (TessCodecProcess *process, double seconds, TessProgress *progress,
                                             GByteArray *answer, int *status);

G_END_DECLS
