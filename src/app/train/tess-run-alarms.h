#pragma once

#include "tess-run-model.h"

G_BEGIN_DECLS

typedef enum {
  TESS_ALARM_NOT_A_NUMBER,
  TESS_ALARM_NEVER_FOUND, /* a class with Dice 0 for many epochs */
  TESS_ALARM_PLATEAU,
  TESS_ALARM_LOADER,
} TessAlarmKind;

/* Something a person should know, at the epoch where it began. */
typedef struct {
  TessAlarmKind kind;
  gint64 epoch;
  char *sentence;
} TessRunAlarm;

/* The epoch with the largest running mean of the Dice, which best.safetensors is from; 0 when there is none. */
gint64 tess_run_best_epoch (TessRunModel *model);
GArray *tess_run_alarms (TessRunModel *model); /* TessRunAlarm, ascending epochs; free with g_array_unref */

G_END_DECLS
