#pragma once

#include "tess-plan.h"

G_BEGIN_DECLS

/* One row for every plain number of a plan: reading, writing and validation share the same ranges. */
typedef enum {
  TESS_PLAN_FIELD_INT,    /* gint64[n], ilo..ihi */
  TESS_PLAN_FIELD_DOUBLE, /* double[n], lo..hi */
  TESS_PLAN_FIELD_BOOL,   /* gboolean */
  TESS_PLAN_FIELD_CHOICE, /* int, written as one of names */
} TessPlanFieldKind;

typedef struct {
  const char       *group; /* JSON object that holds it; "" = the root */
  const char       *name;
  TessPlanFieldKind kind;
  gsize             offset; /* in TessPlan */
  guint             n;      /* 1, or the number of axes (x, y, z) */
  gint64            ilo, ihi;
  double            lo, hi;
  gboolean          required; /* else the default holds when it is absent */
  const char *const *names;   /* NULL-terminated */
} TessPlanField;

extern const TessPlanField tess_plan_fields[];
extern const guint         tess_plan_n_fields;

/* Ranges of what is not in the table. */
#define TESS_PLAN_MAX_PATCH 4096
#define TESS_PLAN_MAX_FEATURES 4096
#define TESS_PLAN_MAX_KERNEL 7
#define TESS_PLAN_MAX_STRIDE 8
#define TESS_PLAN_MAX_CONVS 16
#define TESS_PLAN_MAX_DILATION 64
#define TESS_PLAN_MAX_NAME 255
#define TESS_PLAN_MAX_REASONS 1000

const char *tess_norm_scheme_name      (TessNormScheme scheme); /* "zscore", "ct", "none" */
gboolean    tess_norm_scheme_from_name (const char *name, TessNormScheme *scheme);

/* The network: the architecture's own numbers and those of the table. */
JsonObject *tess_plan_write_network    (const TessPlan *plan);
gboolean    tess_plan_read_network     (TessPlan *plan, JsonObject *root, const char *origin, GError **error);
gboolean    tess_plan_validate_network (const TessPlan *plan, const char *origin, GError **error);

/* Pieces of the JSON. */
JsonArray  *tess_plan_ints_array  (const gint64 *values, guint n);
void        tess_plan_write_group (const TessPlan *plan, const char *group, JsonObject *o);
gboolean    tess_plan_read_group  (TessPlan *plan, const char *group, JsonObject *o, const char *origin, GError **error);
gboolean    tess_plan_read_array  (JsonObject *o, const char *origin, const char *name, guint lo, guint hi, JsonArray **array,
                                   GError **error); /* of lo to hi entries */
JsonObject *tess_plan_element     (JsonArray *array, guint i, const char *origin, const char *name, GError **error);

gboolean    tess_plan_validate_regions (const TessPlan *plan, const char *origin, GError **error);
gboolean    tess_plan_validate_augmentation (const TessPlan *plan, const char *origin, GError **error);

G_END_DECLS
