#include "tess-application.h"
#include "tess-auto-plan.h"
#include "tess-cpu-backend.h"
#include "tess-format-registry.h"
#include "tess-phantom.h"
#include "tess-run-view.h"
#include "tess-statistics.h"
#include "tess-train-page.h"
#include "tess-window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* How long the window's main loop is away while training takes all cores, and what the live view costs the training.
 * bench_ui_stall_peer.py runs it on a display of its own and moves the wheel; without arguments it does nothing.
 *
 *   --make FOLDER                         a scan of 181 x 217 x 181 (1 mm) and a dataset to train on
 *   --stall FOLDER idle|view|train SECONDS  the real window; "ready" when it is measured
 *   --cost FOLDER live|plain RUN ITERATIONS trains with the Train page's heads before the eyes, or alone
 *
 * A timer of 4 ms in the main loop measures: the time between two of its turns is what a click would have waited. */

#define BEAT_MS 4
#define WARM_UP 20 /* iterations */

typedef struct {
  TessApplication *application;
  const char *folder, *mode;
  double seconds;
  int stage;
  gint64 start, last;
  GArray *gaps; /* float, ms */
  guint frames;
  gint64 iterations;
  double cpu, main_cpu;
} Stall;

static void
fail (GError *error)
{
  fprintf (stderr, "bench-ui-stall: %s\n", error->message);
  exit (1);
}

static double
cpu_seconds (int who)
{
  struct rusage usage;

  getrusage (who, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* The first widget of a class, below @widget. */
static GtkWidget *
find (GtkWidget *widget, const char *type)
{
  if (g_str_equal (G_OBJECT_TYPE_NAME (widget), type))
    return widget;
  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child)) {
    GtkWidget *found = find (child, type);

    if (found)
      return found;
  }
  return NULL;
}

static gint64
iterations (GtkWidget *window)
{
  GtkWidget *view = find (window, "TessRunView");
  TessRunModel *model = view ? tess_run_view_get_model (TESS_RUN_VIEW (view)) : NULL;
  TessTrainStatus status;

  if (!model)
    return 0;
  tess_run_model_get_status (model, &status);
  return status.total_iterations;
}

static gboolean
beat_cb (gpointer data)
{
  Stall *s = data;
  gint64 now = g_get_monotonic_time ();
  float gap = (float)(now - s->last) / 1000.0f;

  s->last = now;
  g_array_append_val (s->gaps, gap);
  return G_SOURCE_CONTINUE;
}

static void
painted_cb (Stall *s)
{
  s->frames++;
}

static void
print_stall (Stall *s, GtkWidget *window)
{
  float *gaps = (float *)(void *)s->gaps->data, longest = 0.0f;
  double wall = (double)(g_get_monotonic_time () - s->start) / 1e6,
         main_cpu = cpu_seconds (RUSAGE_THREAD) - s->main_cpu;

  for (guint i = 0; i < s->gaps->len; i++)
    longest = MAX (longest, gaps[i]);
  printf ("{\"p50\": %.2f, \"p99\": %.2f, \"longest\": %.2f, \"frames\": %.1f, \"iterations\": %d, \"cores\": %.2f, "
          "\"main\": %.2f}\n",
          tess_percentile (gaps, s->gaps->len, 50.0), tess_percentile (gaps, s->gaps->len, 99.0), (double)longest,
          s->frames / wall, (int)(iterations (window) - s->iterations),
          (cpu_seconds (RUSAGE_SELF) - s->cpu - main_cpu) / wall, main_cpu / wall);
  fflush (stdout);
}

/* Once in 50 ms: opens, starts the training, measures, leaves. */
static gboolean
drive_cb (gpointer data)
{
  Stall *s = data;
  GtkWindow *window = gtk_application_get_active_window (GTK_APPLICATION (s->application));
  GtkWidget *widget = GTK_WIDGET (window), *page = widget ? find (widget, "TessTrainPage") : NULL, *setup;
  gboolean idle = g_str_equal (s->mode, "idle");

  if (!page || !TESS_IS_WINDOW (window))
    return G_SOURCE_CONTINUE;
  switch (s->stage) {
  case 0:
    if (!tess_study_get_has_image (tess_window_get_study (TESS_WINDOW (window))))
      return G_SOURCE_CONTINUE;
    if (!idle) {
      g_autofree char *dataset = g_build_filename (s->folder, "dataset", NULL);

      tess_window_open (TESS_WINDOW (window), dataset, NULL);
    }
    s->stage = idle ? 3 : 1;
    break;
  case 1: /* the plan is made first */
    setup = find (widget, "TessTrainSetup");
    gtk_widget_activate_action (setup, "setup.start", NULL);
    if (tess_train_page_is_running (page))
      s->stage = 2;
    break;
  case 2:
    if (iterations (widget) >= WARM_UP)
      s->stage = 3;
    break;
  case 3:
    tess_window_set_mode (TESS_WINDOW (window), g_str_equal (s->mode, "train") ? "train" : "view");
    s->start = g_get_monotonic_time ();
    s->stage = 4;
    break;
  case 4: /* has settled; the wheel begins to turn */
    if (g_get_monotonic_time () < s->start + 2000000)
      return G_SOURCE_CONTINUE;
    printf ("ready\n");
    fflush (stdout);
    s->stage = 5;
    s->start = g_get_monotonic_time ();
    break;
  case 5:
    if (g_get_monotonic_time () < s->start + 1000000)
      return G_SOURCE_CONTINUE;
    g_signal_connect_swapped (gtk_widget_get_frame_clock (widget), "after-paint", G_CALLBACK (painted_cb), s);
    s->iterations = iterations (widget);
    s->cpu = cpu_seconds (RUSAGE_SELF);
    s->main_cpu = cpu_seconds (RUSAGE_THREAD);
    s->start = s->last = g_get_monotonic_time ();
    g_timeout_add (BEAT_MS, beat_cb, s);
    s->stage = 6;
    break;
  case 6:
    if ((double)(g_get_monotonic_time () - s->start) < s->seconds * 1e6)
      return G_SOURCE_CONTINUE;
    print_stall (s, widget);
    tess_train_page_stop (page);
    s->stage = 7;
    break;
  default:
    if (!tess_train_page_is_running (page))
      g_application_quit (G_APPLICATION (s->application));
  }
  return G_SOURCE_CONTINUE;
}

static int
stall (const char *folder, const char *mode, const char *seconds)
{
  Stall s = {.folder = folder, .mode = mode, .seconds = g_ascii_strtod (seconds, NULL)};
  g_autofree char *head = g_build_filename (folder, "head.nii", NULL);
  char *argv[] = {(char *)"tessera", head, NULL};

  s.gaps = g_array_new (FALSE, FALSE, sizeof (float));
  tess_backend_register (tess_cpu_backend ());
  s.application = tess_application_new ();
  g_timeout_add (50, drive_cb, &s);
  return tess_application_run (s.application, 2, argv);
}

/* --- what the live view costs ------------------------------------------------------------------------------------- */

typedef struct {
  TessTrainer *trainer;
  TessRunModel *model;
  gint64 n, start, end;
  double cpu, main_cpu;
  GMainLoop *loop;
} Cost;

static gboolean
cost_cb (gpointer data)
{
  Cost *c = data;
  TessTrainStatus status;

  if (c->model)
    tess_run_model_get_status (c->model, &status);
  else
    tess_trainer_status (c->trainer, &status);
  if (!c->start && status.total_iterations >= WARM_UP) {
    c->start = g_get_monotonic_time ();
    c->cpu = cpu_seconds (RUSAGE_SELF);
    c->main_cpu = cpu_seconds (RUSAGE_THREAD);
  }
  if (status.total_iterations >= WARM_UP + c->n || status.state == TESS_TRAIN_FAILED) {
    c->end = g_get_monotonic_time ();
    c->cpu = cpu_seconds (RUSAGE_SELF) - c->cpu;
    c->main_cpu = cpu_seconds (RUSAGE_THREAD) - c->main_cpu;
    g_main_loop_quit (c->loop);
    return G_SOURCE_REMOVE;
  }
  return G_SOURCE_CONTINUE;
}

static int
cost (const char *folder, const char *kind, const char *run, const char *n)
{
  g_autofree char *dataset = g_build_filename (folder, "dataset", NULL);
  TessTrainOptions options = {.dataset_dir = dataset,
                              .run_dir = run,
                              .epochs = 1000,
                              .seed = 1,
                              .backend = tess_cpu_backend (),
                              .act_dtype = TESS_DTYPE_F32,
                              .no_live_view = g_str_equal (kind, "plain")};
  Cost c = {.n = atoi (n), .loop = g_main_loop_new (NULL, FALSE)};
  g_autoptr (TessApplication) application = NULL;
  TessPlannerLimits limits;
  g_autoptr (TessDataset) data = NULL;
  g_autoptr (TessPlan) plan = NULL;
  GError *error = NULL;

  tess_backend_register (tess_cpu_backend ());
  tess_auto_limits (options.backend, 0, &limits);
  for (int a = 0; a < 3; a++)
    limits.patch[a] = 32; /* 300 iterations in a minute or two */
  data = tess_dataset_open (dataset, NULL, &error);
  options.plan = plan = data ? tess_auto_plan (data, &limits, NULL, &error) : NULL;
  if (!plan)
    fail (error);
  if (options.no_live_view) {
    c.trainer = tess_trainer_new (&options, &error);
    if (!c.trainer || !tess_trainer_start (c.trainer, &error))
      fail (error);
  } else {
    GtkWidget *window, *view;

    application = tess_application_new (); /* as it chooses to paint */
    adw_init ();
    c.model = tess_run_model_new_train (&options, &error);
    if (!c.model || !tess_run_model_start (c.model, &error))
      fail (error);
    window = gtk_window_new ();
    view = tess_run_view_new ();
    tess_run_view_set_model (TESS_RUN_VIEW (view), c.model);
    gtk_window_set_child (GTK_WINDOW (window), view);
    gtk_window_set_default_size (GTK_WINDOW (window), 1280, 800);
    gtk_window_present (GTK_WINDOW (window));
  }
  g_timeout_add (20, cost_cb, &c);
  g_main_loop_run (c.loop);
  printf ("{\"wall\": %.4f, \"cpu\": %.4f, \"main\": %.4f}\n", (double)(c.end - c.start) / 1e6, c.cpu, c.main_cpu);
  fflush (stdout);
  if (c.trainer)
    tess_trainer_free (c.trainer);
  if (c.model)
    g_object_run_dispose (G_OBJECT (c.model));
  g_main_loop_unref (c.loop);
  return 0;
}

static int
make (const char *folder)
{
  static const gint64 size[3] = {181, 217, 181};
  const TessPhantomOptions options = {.n_cases = 6, .size = {48, 48, 40}, .seed = 1};
  g_autofree char *head = g_build_filename (folder, "head.nii", NULL),
                  *dataset = g_build_filename (folder, "dataset", NULL);
  g_autoptr (TessVolume) image = NULL, label = NULL;
  GError *error = NULL;

  if (!tess_phantom_make (1, 0, size, &image, &label, &error) || !tess_volume_save (image, head, NULL, &error) ||
      !tess_phantom_write (dataset, &options, NULL, &error))
    fail (error);
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--make"))
    return make (argv[2]);
  if (argc == 5 && g_str_equal (argv[1], "--stall"))
    return stall (argv[2], argv[3], argv[4]);
  if (argc == 6 && g_str_equal (argv[1], "--cost"))
    return cost (argv[2], argv[3], argv[4], argv[5]);
  return 0;
}
