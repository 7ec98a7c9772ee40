#pragma once

#include "tess-error.h"
#include "tess-json.h"

G_BEGIN_DECLS

#define TESS_MAX_STAGES 8
#define TESS_MAX_DILATIONS 32 /* of a MeshNet */
#define TESS_MAX_CHANNELS 16
#define TESS_MAX_LABELS 255 /* label maps of patches are uint8; 255 is never a class */

typedef enum {
  TESS_NORM_ZSCORE, /* per case and channel: (v - mean) / std over the whole image */
  TESS_NORM_CT,     /* clip to [p0.5, p99.5] of the dataset's foreground, then its mean and std */
  TESS_NORM_NONE,
  TESS_NORM_MINMAX, /* per case and channel: (v - min) / (max - min) over the whole image */
} TessNormScheme;

typedef struct {
  char          *name;
  TessNormScheme norm;
  double         lower, upper, mean, std; /* the dataset's foreground intensities (real values); used by TESS_NORM_CT */
} TessPlanChannel;

typedef struct {
  char  *name;
  gint64 value; /* class index = value; 0 is background, consecutive */
} TessPlanLabel;

/* Everything between a raw scan and its labels. All arrays over axes are (x, y, z); `nn` reverses them to (D, H, W).
 * Ref-counted; not changed once it is shared (dup first). */
typedef struct {
  gatomicrefcount ref_count;
  char  *dataset_name;

  guint           n_channels;
  TessPlanChannel channels[TESS_MAX_CHANNELS];
  guint           n_labels; /* with background */
  TessPlanLabel  *labels;

  double spacing[3]; /* mm, along the index axes of the case */
  gint64 patch[3];   /* voxels of the target grid */

  struct {
    guint  n_stages;
    gint64 features[TESS_MAX_STAGES];
    gint64 kernel[TESS_MAX_STAGES][3];
    gint64 stride[TESS_MAX_STAGES][3]; /* stage 0: 1,1,1 */
    gint64 convs_encoder[TESS_MAX_STAGES];
    gint64 convs_decoder[TESS_MAX_STAGES]; /* n_stages-1, lowest resolution first */
    double leaky_slope, norm_eps;
    gboolean deep_supervision;
    guint  n_layers; /* > 0: a MeshNet of so many dilated convolutions with features[0] channels; stages unused */
    gint64 dilation[TESS_MAX_DILATIONS];
  } network;

  struct {
    gint64 seed;
    gint64 batch_size;
    gint64 epochs, iterations_per_epoch, validation_iterations;
    double learning_rate, momentum, weight_decay, poly_exponent, clip_norm;
    double oversample_foreground; /* share of a batch whose patch is centred on a foreground voxel */
    gboolean batch_dice;
    double dice_smooth;
    gint64 cache_bytes;           /* budget of decoded cases */
    gint64 pool_cases;            /* 0: all cases stay decoded; else size of the rotating pool */
    gint64 pool_patches;          /* patches drawn from a case before it leaves the pool */
  } training;

  struct {
    double   rotation_probability, rotation_degrees[3]; /* about each axis: uniform in [-d, d] */
    double   scale_probability, scale_lower, scale_upper; /* > 1 shows more of the scan (zoom out) */
    double   mirror_probability[3]; /* per axis */
  } augmentation;

  struct {
    double   step;     /* tile step as a share of the patch, (0,1] */
    gboolean gaussian; /* weights with sigma = patch/8; else uniform */
  } inference;

  GPtrArray *reasons; /* char*: "patch 40 x 56 x 40: ..." one sentence a number; shown, not used */
} TessPlan;

TessPlan *tess_plan_new       (void); /* nnU-Net's defaults; no channels, no labels */
TessPlan *tess_plan_ref       (TessPlan *plan);
void      tess_plan_unref     (TessPlan *plan);
TessPlan *tess_plan_dup       (const TessPlan *plan);
void      tess_plan_add_channel (TessPlan *plan, const char *name, TessNormScheme norm);
void      tess_plan_add_label   (TessPlan *plan, const char *name, gint64 value);
void      tess_plan_add_reason  (TessPlan *plan, const char *format, ...) G_GNUC_PRINTF (2, 3);
gboolean  tess_plan_validate  (const TessPlan *plan, const char *origin, GError **error);
guint     tess_plan_n_heads   (const TessPlan *plan); /* deep-supervision outputs: n_stages - 1, or 1 without */
/* Weight of every head in the loss, finest first: 1/2^i, the coarsest 0 (unless it is the only one), sum 1. */
void      tess_plan_head_weights (const TessPlan *plan, double *weights);

JsonNode *tess_plan_to_json   (const TessPlan *plan);
TessPlan *tess_plan_from_json (JsonNode *root, const char *origin, GError **error); /* validated */
TessPlan *tess_plan_load      (const char *path, GError **error);
gboolean  tess_plan_save      (const TessPlan *plan, const char *path, GError **error);
char     *tess_plan_to_text   (const TessPlan *plan);   /* compact JSON, for a model file's metadata */
TessPlan *tess_plan_from_text (const char *text, const char *origin, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessPlan, tess_plan_unref)

G_END_DECLS
