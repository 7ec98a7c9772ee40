#pragma once

#include "tess-predictor.h"

/* A folder that is removed with everything in it. */
char *fixture_folder (void);
void fixture_remove (char *folder);

/* A small U-Net of three stages; classes with background. */
TessPlan *fixture_plan (guint n_channels, guint n_classes, const double spacing[3], const gint64 patch[3]);
/* Random weights by seed, saved as a model. */
void fixture_save_model (const char *path, const TessPlan *plan, guint64 seed, const char *state_json);
/* Smooth structure and noise, int16 with a scaling, the same for the same seed. */
TessVolume *fixture_scan (const gint64 dim[3], gint64 n_channels, const TessAffine *affine, guint32 seed);
/* Rotated by angles about z, y, x; spacing may be negative (a flipped axis). */
TessAffine fixture_affine (const double spacing[3], const double angle[3], const double offset[3]);
/* The model on the CPU backend, one program of one patch. */
TessSession *fixture_session (TessModel *model);
/* Its logits for an image are those of a file of tests/reference, both {N, C, z, y, x} there. */
void fixture_compare_logits (TessModel *model, const char *reference, const char *image_name, const char *name);
