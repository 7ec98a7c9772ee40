#pragma once

#include "tess-planner.h"

G_BEGIN_DECLS

/* Patch, kernels and strides from the voxels wanted an axis and plan->spacing. The patch is the smallest multiple of
 * the strides that holds `wanted`; exact: it is `wanted` itself and axes that cannot be halved evenly are not. FALSE
 * when no network fits (exact only). Features and convolutions are left alone. */
gboolean tess_planner_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact);

/* The next smaller patch along the axis that is largest beside the median shape: `wanted`, from which the patch was
 * made, becomes less there, but not less than `floor` voxels. FALSE when there is none. */
gboolean tess_planner_shrink (TessPlan *plan, gint64 wanted[3], const double median[3], gint64 floor);

/* What one training program of the plan takes: bytes of all arenas with a margin for workspace, operations a step. */
gboolean tess_planner_measure (const TessPlan *plan, TessDType act_dtype, double *bytes, double *flops, GError **error);

/* Widths base, 2 base, ... up to 320 and two convolutions a stage. */
void tess_planner_set_width (TessPlan *plan, gint64 base);

/* The networks beside nnU-Net's U-Nets. */
gboolean tess_planner_is_unet          (const TessPlan *plan);
void     tess_planner_choose           (TessPlan *plan, TessPlanArchitecture architecture); /* and its constants */
gboolean tess_planner_network_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact);
void     tess_planner_network_width    (TessPlan *plan, gint64 base);
void     tess_planner_network_explain  (TessPlan *plan);

G_END_DECLS
