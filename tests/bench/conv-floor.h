#pragma once

#include "tess-network.h"

G_BEGIN_DECLS

/* What a network's convolutions cost on this processor at the least, for bench-conv-floor.c and bench-train-step.c. */

typedef struct {
  const char *name;
  gint64 batch, dhw[3];
  TessNetworkSpec network;
} BenchCase;

#define N_BENCH_CASES 2
extern const BenchCase bench_cases[N_BENCH_CASES];

/* A training step: all heads, Dice + cross-entropy. */
TessProgramSpec bench_train_program (const BenchCase *c, TessDType act_dtype);
/* 10; where the first took over 5 s 3, over 30 s 2. */
guint           bench_n_runs        (double first_seconds);

typedef enum { FLOOR_FORWARD, FLOOR_DATA, FLOOR_WEIGHTS, N_FLOOR_PASSES } FloorPass;

/* All ops of one kind, shape and type. */
typedef struct {
  TessOpKind   kind;
  TessConvAttr attr;
  gint64       x[TESS_MAX_DIMS], y[TESS_MAX_DIMS]; /* source and result of the forward pass, NDHWC */
  TessDType    x_dtype, y_dtype;
  FloorPass    pass;
  guint        n_ops;
  double       seconds;            /* of one op */
  char         implementation[64]; /* as oneDNN calls it */
} FloorLayer;

typedef struct _FloorBench FloorBench;

typedef struct {
  FloorBench *bench;
  GArray *layers; /* FloorLayer */
  double  seconds[N_FLOOR_PASSES], total;
  guint   n_runs; /* so far, of which the best counts */
} ConvFloor;

const char *floor_pass_name  (FloorPass pass);
gboolean    conv_floor_open  (ConvFloor *floor, const BenchCase *c, TessDType act_dtype, GError **error);
gboolean    conv_floor_run   (ConvFloor *floor, GError **error);
void        conv_floor_clear (ConvFloor *floor);

G_END_DECLS
