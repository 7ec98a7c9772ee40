#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

/* The reference every backend is compared with: a placed graph run op by op on host memory, naive loops, every sum
 * in double. Written for being right, not for speed; its backward is checked by finite differences (test-ref.c).
 *
 * F32 graphs: tensors live in the arenas as float, exactly where tensor.arena and tensor.offset say.
 * BF16 graphs run too: what is stored as bf16 is rounded when stored, and the operands x, w and dy of the
 * convolutions are rounded to bf16 before they are multiplied, as backends do it; sums stay double. */
gboolean ref_run (const TessGraph *graph, guint8 *const arenas[TESS_N_ARENAS], const TessStepArgs *args, GError **error);

/* One zeroed block an arena (never NULL), 256-byte aligned. */
guint8 **ref_arenas_new  (const TessGraph *graph);
void     ref_arenas_free (guint8 **arenas);

/* The same arithmetic with every tensor a double array of its own, nothing rounded: for finite differences.
 * values[id] has tess_tensor_n_elements; a gradient, parameter or momentum like any other tensor.
 * kinks: a hash over the side of zero on which every leaky ReLU's input lay in the last run. */
typedef struct {
  const TessGraph *graph;
  double **values;
  guint64  kinks;
} RefDouble;

RefDouble *ref_double_new  (const TessGraph *graph); /* zeros */
void       ref_double_free (RefDouble *ref);
void       ref_double_load (RefDouble *ref, guint8 *const arenas[TESS_N_ARENAS]); /* all tensors but ACT */
/* ops [first, last) */
gboolean   ref_double_run  (RefDouble *ref, guint first, guint last, const TessStepArgs *args, GError **error);

/* One element of a tensor as double. */
double ref_get (const TessTensor *tensor, guint8 *const arenas[TESS_N_ARENAS], gsize i);
void   ref_set (const TessTensor *tensor, guint8 *const arenas[TESS_N_ARENAS], gsize i, double value);

/* sum (a - b)^2 / sum a^2 over a tensor of two graphs (a: reference); 0 when both are all zero, infinite when b has
 * a NaN or only a is all zero. The dtypes may differ, the shapes may not. */
double ref_nmse (const TessTensor *a, guint8 *const arenas_a[TESS_N_ARENAS],
                 const TessTensor *b, guint8 *const arenas_b[TESS_N_ARENAS]);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RefDouble, ref_double_free)

G_END_DECLS
