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

typedef enum {
  TESS_PLAN_PLAIN_UNET,    /* "plain-unet": nnU-Net's PlainConvUNet */
  TESS_PLAN_RESIDUAL_UNET, /* "residual-unet": nnU-Net's ResidualEncoderUNet */
  TESS_PLAN_MESHNET,       /* "meshnet": dilated convolutions */
  TESS_PLAN_INGRADIENT,    /* "ingradient-unet": heads made as large as the patch; without deep supervision its plain one */
  TESS_PLAN_SE_RESIDUAL,   /* "se-residual": squeeze and excitation; any patch */
  TESS_PLAN_CASED,         /* "cased": convolutions without padding; a result for the middle of the patch */
  TESS_PLAN_N_ARCHITECTURES
} TessPlanArchitecture;

typedef struct {
  char  *name;
  gint64 value; /* class index = value; 0 is background, consecutive */
} TessPlanLabel;

#define TESS_PLAN_MAX_REGIONS 64

/* A set of labels that is learnt as one, by a sigmoid of its own. */
typedef struct {
  char  *name;
  guint8 holds[256]; /* by label: 1 = belongs to it */
  gint64 label;      /* painted where it is found; later regions over earlier ones */
} TessPlanRegion;

typedef enum {
  TESS_PLAN_LOSS_DICE_CE,  /* softmax over labels: cross-entropy + Dice (nnU-Net) */
  TESS_PLAN_LOSS_DICE_BCE, /* a sigmoid a foreground label or region: binary cross-entropy + Dice (nnU-Net, regions) */
  TESS_PLAN_LOSS_DICE,     /* a sigmoid each, Dice alone */
  TESS_PLAN_LOSS_TVERSKY,  /* softmax; sigmoids with regions */
  TESS_PLAN_LOSS_FOCAL,    /* the same */
} TessPlanLoss;

typedef enum {
  TESS_PLAN_OPTIMISER_SGD, /* Nesterov momentum */
  TESS_PLAN_OPTIMISER_ADAM,
  TESS_PLAN_OPTIMISER_ADAMW,
} TessPlanOptimiser;

/* How much of a plan's augmentation there is. */
typedef enum {
  TESS_PLAN_AUGMENTATION_FULL,    /* "full" */
  TESS_PLAN_AUGMENTATION_SPATIAL, /* "spatial": rotation, scale, mirroring; values stay */
  TESS_PLAN_AUGMENTATION_NONE,    /* "none" */
} TessPlanAugmentation;

/* Everything between a raw scan and its labels. All arrays over axes are (x, y, z); `nn` reverses them to (D, H, W).
 * Ref-counted; not changed once it is shared (dup first). */
typedef struct {
  gatomicrefcount ref_count;
  char  *dataset_name;

  guint           n_channels;
  TessPlanChannel channels[TESS_MAX_CHANNELS];
  guint           n_labels; /* with background */
  TessPlanLabel  *labels;
  guint           n_regions; /* 0: the labels themselves are learnt */
  TessPlanRegion *regions;   /* in the order of the network's channels and of painting */
  gint64          ignore_label; /* voxels that teach nothing; n_labels, or 0 = there are none */

  double spacing[3]; /* mm, along the index axes of the case */
  gint64 patch[3];   /* voxels of the target grid */

  struct {
    TessPlanArchitecture architecture;
    guint  slice_axis; /* 0: 3D; 1, 2, 3: 2D, single slices across x, y, z; the patch is 1 voxel there */
    guint  n_stages;
    gint64 features[TESS_MAX_STAGES];
    gint64 kernel[TESS_MAX_STAGES][3];
    gint64 stride[TESS_MAX_STAGES][3]; /* stage 0: 1,1,1 */
    gint64 convs_encoder[TESS_MAX_STAGES]; /* of a residual network: blocks */
    gint64 convs_decoder[TESS_MAX_STAGES]; /* n_stages-1, lowest resolution first */
    gint64 kernel_decoder[TESS_MAX_STAGES][3]; /* the same; zeros: the encoder's at that resolution. nnU-Net v1's differ */
    gint64 stem_features; /* of a residual network's first convolution; 0: those of the first stage */
    double leaky_slope, norm_eps;
    gboolean deep_supervision;
    guint  n_layers; /* of a MeshNet: so many dilated convolutions with features[0] channels; stages unused */
    gint64 dilation[TESS_MAX_DILATIONS];
    gint64 se_ratio; /* of se-residual, with features[0] and n_stages = depth + 1; 0: without */
    gboolean attention_gate;
    double dropout; /* in training, of a MeshNet and of ingradient's: probability that a channel is left out */
    double noise;   /* in training, of se-residual: standard deviation of what is added to the patch */
  } network;

  struct {
    gint64 seed;
    gint64 batch_size;
    gint64 epochs, iterations_per_epoch, validation_iterations;
    double learning_rate, momentum, weight_decay, poly_exponent, clip_norm;
    double oversample_foreground; /* share of a batch whose patch is centred on a foreground voxel */
    gboolean batch_dice;
    double dice_smooth;
    gboolean dice_background;     /* softmax: the background counts in the overlap */
    int    loss;                  /* TessPlanLoss */
    double tversky_alpha, tversky_beta; /* weights of false positives and false negatives */
    double focal_gamma;
    int    optimiser;             /* TessPlanOptimiser */
    double beta1, beta2, epsilon; /* Adam */
    gint64 cache_bytes;           /* budget of decoded cases */
    gint64 pool_cases;            /* 0: all cases stay decoded; else size of the rotating pool */
    gint64 pool_patches;          /* patches drawn from a case before it leaves the pool */
  } training;

  struct {
    double   rotation_probability, rotation_degrees[3]; /* about each axis: uniform in [-d, d] */
    double   scale_probability, scale_lower, scale_upper; /* > 1 shows more of the scan (zoom out) */
    double   mirror_probability[3]; /* per axis */
    /* Of a patch's values, after normalisation, in this order; probabilities are of samples, those of a channel besides. */
    double   noise_probability, noise_upper; /* standard deviation: uniform in [0, upper) */
    double   blur_probability, blur_channel_probability, blur_lower, blur_upper; /* sigma, voxels, per axis */
    double   brightness_probability, brightness_lower, brightness_upper; /* factor */
    double   contrast_probability, contrast_lower, contrast_upper; /* factor of the distance to the mean */
    double   low_resolution_probability, low_resolution_channel_probability, low_resolution_lower[3]; /* share of the voxels along an axis: down to this */
    double   gamma_inverted_probability, gamma_probability, gamma_lower, gamma_upper; /* exponent */
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
void      tess_plan_restrict_augmentation (TessPlan *plan, TessPlanAugmentation augmentation);
gboolean  tess_plan_augmentation_from_name (const char *name, TessPlanAugmentation *augmentation); /* "full", "spatial", "none" */
const char *tess_plan_architecture_name  (TessPlanArchitecture architecture); /* "plain-unet" */
gboolean  tess_plan_architecture_from_name (const char *name, TessPlanArchitecture *architecture);
char     *tess_plan_architecture_names (void); /* all, with commas between them */
guint     tess_plan_n_heads   (const TessPlan *plan); /* deep-supervision outputs: n_stages - 1, or 1 without */
/* Weight of every head in the loss, finest first: 1/2^i, the coarsest 0 (unless it is the only one), sum 1. */
void      tess_plan_head_weights (const TessPlan *plan, double *weights);

/* What the network gives: softmax over labels, or a sigmoid for every region (foreground label). */
TessPlanRegion *tess_plan_add_region (TessPlan *plan, const char *name, gint64 label); /* its holds are to be filled */
gboolean    tess_plan_is_sigmoid   (const TessPlan *plan);
guint       tess_plan_n_outputs    (const TessPlan *plan); /* channels of the logits */
gboolean    tess_plan_output_holds (const TessPlan *plan, guint output, guint label);
guint8      tess_plan_output_label (const TessPlan *plan, guint output); /* painted where the output wins */
/* What is scored: [0] stands for the mean, then every foreground class or region. */
guint       tess_plan_n_scores     (const TessPlan *plan);
const char *tess_plan_score_name   (const TessPlan *plan, guint score);
GPtrArray  *tess_plan_hidden_labels (const TessPlan *plan); /* sentences (char *): what can never come out */

/* Regions and the ignore label of nnU-Net's dataset.json. */
gboolean    tess_regions_in_json   (JsonObject *labels);
gboolean    tess_regions_from_json (JsonObject *root, const char *origin, TessPlanRegion **regions, guint *n, guint *n_labels,
                                    GError **error);
gboolean    tess_ignore_from_json  (JsonObject *labels, const char *origin, guint n_labels, gint64 *ignore, GError **error);
char      **tess_region_label_names (const TessPlanRegion *regions, guint n, guint n_labels);
TessPlanRegion *tess_plan_regions_dup (const TessPlanRegion *regions, guint n);
void        tess_plan_regions_free (TessPlanRegion *regions, guint n);

gboolean  tess_plan_loss_from_name (const char *name, int *loss); /* "dice-ce" ... */
JsonNode *tess_plan_to_json   (const TessPlan *plan);
TessPlan *tess_plan_from_json (JsonNode *root, const char *origin, GError **error); /* validated */
TessPlan *tess_plan_load      (const char *path, GError **error);
gboolean  tess_plan_save      (const TessPlan *plan, const char *path, GError **error);
char     *tess_plan_to_text   (const TessPlan *plan);   /* compact JSON, for a model file's metadata */
TessPlan *tess_plan_from_text (const char *text, const char *origin, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessPlan, tess_plan_unref)

G_END_DECLS
