#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* The Train mode: from a dataset to a trained model, and run folders opened again. Main thread only. */
GtkWidget *tess_train_page_new (TessWindow *window);
void tess_train_page_open_dataset (GtkWidget *page, const char *dir);
void tess_train_page_open_run (GtkWidget *page, const char *run_dir);
gboolean tess_train_page_is_running (GtkWidget *page); /* a training of this process is at work */
void tess_train_page_stop (GtkWidget *page);           /* within one iteration, with a checkpoint */

G_END_DECLS
