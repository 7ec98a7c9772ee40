#pragma once

#include "tess-graph.h"

G_BEGIN_DECLS

/* A part of the GRAD arena that is whole once op `after` has run; G_MAXUINT: before any has. */
typedef struct {
  guint after;
  gsize offset, n; /* bytes, floats */
} TessGradientBucket;

/* TessGradientBucket, in the order they get whole; empty for a graph without GRAD_NORM. */
GArray *tess_gradient_buckets (const TessGraph *graph, gsize bytes);

static inline gboolean
tess_gradient_bucket_is_whole (const TessGradientBucket *bucket, guint op)
{
  return bucket->after == G_MAXUINT || bucket->after <= op;
}

G_END_DECLS
