#pragma once

#include "../remove-tree.h"
#include "tess-phantom.h"
#include "tess-trainer.h"

/* A small labelled dataset in a new folder, and a plan for it that trains in milliseconds a step. */
typedef struct {
  char *root;    /* everything is below; removed by clear */
  char *dataset; /* root/data */
  char *plan_path;
  TessPlan *plan;
} TrainFixture;

void train_fixture_init (TrainFixture *f, guint n_cases);
void train_fixture_clear (TrainFixture *f);
char *train_fixture_path (const TrainFixture *f, const char *name);
/* Options of a run on the CPU in f32. */
TessTrainOptions train_fixture_options (const TrainFixture *f, const char *run_dir);
/* Runs a program to its end: its wait status; out and said: what it wrote to its two streams (new strings). */
int train_run_program (char **argv, char **out, char **said);
/* Regular files below a folder whose names begin with a dot: nothing may be left half-written. */
guint train_count_hidden (const char *path);
