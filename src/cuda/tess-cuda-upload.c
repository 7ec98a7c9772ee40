#include "tess-cuda-private.h"

/* Copies to the device beside what runs there, on a stream of their own. They go into blocks first, as a running step
 * may still read what is to be replaced; from there they are put in place on the device's stream. Two events keep the
 * order: nothing is put in place before it has arrived, and no block is filled again before it was put in place. */

typedef struct {
  char *block; /* on the device */
  gsize capacity;
  TessBuffer *buffer; /* where it goes */
  gsize offset, bytes;
} Piece;

struct _TessCudaUploads {
  cudaStream_t stream;
  cudaEvent_t arrived, placed;
  GArray *pieces; /* Piece; blocks are kept from batch to batch */
  guint n_begun;
};

void
tess_cuda_uploads_free (TessDevice *device)
{
  TessCudaUploads *u = device->uploads;

  if (u == NULL)
    return;
  if (u->stream != NULL) {
    (void)cudaStreamSynchronize (u->stream);
    (void)cudaStreamDestroy (u->stream);
  }
  if (u->arrived != NULL)
    (void)cudaEventDestroy (u->arrived);
  if (u->placed != NULL)
    (void)cudaEventDestroy (u->placed);
  for (guint i = 0; i < u->pieces->len; i++)
    (void)cudaFree (g_array_index (u->pieces, Piece, i).block);
  g_array_unref (u->pieces);
  g_free (u);
  device->uploads = NULL;
}

static gboolean
open_uploads (TessDevice *device, GError **error)
{
  TessCudaUploads *u = device->uploads;

  if (u != NULL)
    return TRUE;
  u = device->uploads = g_new0 (TessCudaUploads, 1);
  u->pieces = g_array_new (FALSE, TRUE, sizeof (Piece));
  if (tess_cuda_check (cudaStreamCreateWithFlags (&u->stream, cudaStreamNonBlocking), _ ("opening the device"),
                       error) &&
      tess_cuda_check (cudaEventCreateWithFlags (&u->arrived, cudaEventDisableTiming), _ ("opening the device"),
                       error) &&
      tess_cuda_check (cudaEventCreateWithFlags (&u->placed, cudaEventDisableTiming), _ ("opening the device"), error))
    return TRUE;
  tess_cuda_uploads_free (device);
  return FALSE;
}

/* The next piece with a block that is large enough. Freeing one waits for what reads it. */
static Piece *
take_piece (TessCudaUploads *u, gsize n, GError **error)
{
  Piece *piece;

  if (u->n_begun == u->pieces->len)
    g_array_set_size (u->pieces, u->n_begun + 1);
  piece = &g_array_index (u->pieces, Piece, u->n_begun);
  if (piece->capacity >= n)
    return piece;
  (void)cudaFree (piece->block);
  piece->block = NULL;
  piece->capacity = 0;
  if (!tess_cuda_allocate (n, &piece->block, error))
    return NULL;
  piece->capacity = n;
  return piece;
}

/**
 * tess_cuda_upload_begin:
 * @source: page-locked (tess_cuda_buffer_new_near()), else this waits for the copy; it stays as it is until
 *   tess_cuda_upload_end(), also after a failure
 *
 * Queues a copy beside what runs; @buffer does not change before tess_cuda_upload_end().
 *
 * Errors: BAD_SHAPE, NO_MEMORY for the block it goes into first, DEVICE_LOST.
 */
gboolean
tess_cuda_upload_begin (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  TessDevice *device = buffer->device;
  const char *doing = _ ("copying to the device");
  Piece *piece;

  if (!tess_cuda_inside (buffer, offset, n, doing, error))
    return FALSE;
  if (n == 0)
    return TRUE;
  if (!tess_cuda_enter (device, error) || !open_uploads (device, error))
    return FALSE;
  piece = take_piece (device->uploads, n, error);
  if (piece == NULL)
    return FALSE;
  if (device->uploads->n_begun == 0 &&
      !tess_cuda_check (cudaStreamWaitEvent (device->uploads->stream, device->uploads->placed, 0), doing, error))
    return FALSE;
  piece->buffer = buffer;
  piece->offset = offset;
  piece->bytes = n;
  device->uploads->n_begun++;
  return tess_cuda_check (cudaMemcpyAsync (piece->block, source, n, cudaMemcpyHostToDevice, device->uploads->stream),
                          doing, error);
}

/**
 * tess_cuda_upload_end:
 *
 * Puts in place all that was begun, before whatever is asked of the device next, and waits until the sources have been
 * read: mostly they have been. After a failure they have been, too, and nothing is begun any more.
 */
gboolean
tess_cuda_upload_end (TessDevice *device, GError **error)
{
  TessCudaUploads *u = device->uploads;
  const char *doing = _ ("copying to the device");
  gboolean ok;

  if (u == NULL || u->n_begun == 0)
    return TRUE;
  ok = tess_cuda_enter (device, error) && tess_cuda_check (cudaEventRecord (u->arrived, u->stream), doing, error) &&
       tess_cuda_check (cudaStreamWaitEvent (device->stream, u->arrived, 0), doing, error);
  for (guint i = 0; ok && i < u->n_begun; i++) {
    const Piece *piece = &g_array_index (u->pieces, Piece, i);

    tess_cuda_results_forget (piece->buffer);
    ok = tess_cuda_check (cudaMemcpyAsync ((char *)piece->buffer->data + piece->offset, piece->block, piece->bytes,
                                           cudaMemcpyDefault, device->stream),
                          doing, error);
  }
  u->n_begun = 0;
  ok = ok && tess_cuda_check (cudaEventRecord (u->placed, device->stream), doing, error) &&
       tess_cuda_check (cudaEventSynchronize (u->arrived), doing, error);
  if (ok)
    return TRUE;
  /* Some may be put in place and the event not say so: nothing is under way any more. */
  (void)cudaStreamSynchronize (u->stream);
  (void)tess_cuda_wait (device, NULL);
  (void)cudaGetLastError ();
  return FALSE;
}
