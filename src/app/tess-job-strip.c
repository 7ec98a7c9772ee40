#include "tess-job-strip.h"

#include "tess-format.h"

#include <glib/gi18n-lib.h>
#include <math.h>

/* What takes less than this is not shown: a strip that comes and goes at once is only unrest. */
#define SHOW_AFTER_MS 1000

struct _TessJobStrip {
  GtkWidget parent_instance;

  GtkRevealer *revealer;
  GtkBox *first, *all;
  GtkMenuButton *more;
  GtkProgressBar *bar;

  GPtrArray *jobs; /* TessJob, oldest first */
  guint show_timer;
};

G_DEFINE_FINAL_TYPE (TessJobStrip, tess_job_strip, GTK_TYPE_WIDGET)

/* --- one line: name, share and time left, Cancel ---------------------------------------------------------------- */

static void
update_share_cb (GtkLabel *label, GParamSpec *pspec, TessJob *job)
{
  double fraction = tess_job_get_fraction (job), remaining = tess_job_get_remaining (job);
  int percent = (int)(100.0 * fraction);
  g_autofree char *text = NULL;

  if (tess_progress_is_cancelled (tess_job_get_progress (job)))
    text = g_strdup (_ ("stopping"));
  else if (isfinite (remaining)) {
    g_autofree char *left = tess_format_duration (remaining);

    /* TRANSLATORS: share of a job done, and minutes:seconds left */
    text = g_strdup_printf (_ ("%d %% · %s left"), percent, left);
  } else
    text = g_strdup_printf (_ ("%d %%"), percent);
  gtk_label_set_text (label, text);
}

static void
cancel_cb (GtkButton *button, TessJob *job)
{
  tess_job_cancel (job);
  gtk_widget_set_sensitive (GTK_WIDGET (button), FALSE);
}

static GtkWidget *
line_new (TessJob *job)
{
  GtkWidget *line = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 12);
  GtkWidget *name = gtk_label_new (tess_job_get_name (job)), *share = gtk_label_new (NULL);
  GtkWidget *cancel = gtk_button_new_with_label (_ ("Cancel"));
  g_autofree char *description = g_strdup_printf (_ ("Cancel: %s"), tess_job_get_name (job));

  gtk_label_set_ellipsize (GTK_LABEL (name), PANGO_ELLIPSIZE_MIDDLE);
  gtk_label_set_xalign (GTK_LABEL (name), 0.0f);
  gtk_widget_set_hexpand (name, TRUE);
  gtk_widget_add_css_class (share, "numeric");
  gtk_widget_add_css_class (share, "dim-label");
  gtk_widget_add_css_class (cancel, "flat");
  gtk_widget_set_valign (cancel, GTK_ALIGN_CENTER);
  gtk_widget_set_sensitive (cancel, !tess_progress_is_cancelled (tess_job_get_progress (job)));
  gtk_accessible_update_property (GTK_ACCESSIBLE (cancel), GTK_ACCESSIBLE_PROPERTY_LABEL, description, -1);
  gtk_box_append (GTK_BOX (line), name);
  gtk_box_append (GTK_BOX (line), share);
  gtk_box_append (GTK_BOX (line), cancel);

  g_signal_connect_object (cancel, "clicked", G_CALLBACK (cancel_cb), job, 0);
  g_signal_connect_object (job, "notify::fraction", G_CALLBACK (update_share_cb), share, G_CONNECT_SWAPPED);
  update_share_cb (GTK_LABEL (share), NULL, job);
  return line;
}

/* --- the strip -------------------------------------------------------------------------------------------------- */

static void
empty (GtkBox *box)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (box))))
    gtk_box_remove (box, child);
}

static void
update_bar_cb (TessJobStrip *self, GParamSpec *pspec, TessJob *job)
{
  if (self->jobs->len && g_ptr_array_index (self->jobs, 0) == job)
    gtk_progress_bar_set_fraction (self->bar, tess_job_get_fraction (job));
}

static void
rebuild (TessJobStrip *self)
{
  guint n = self->jobs->len;

  empty (self->first);
  empty (self->all);
  gtk_widget_set_visible (GTK_WIDGET (self->more), n > 1);
  if (n == 0) {
    g_clear_handle_id (&self->show_timer, g_source_remove);
    gtk_menu_button_popdown (self->more);
    gtk_revealer_set_reveal_child (self->revealer, FALSE);
    return;
  }
  gtk_box_append (self->first, line_new (g_ptr_array_index (self->jobs, 0)));
  update_bar_cb (self, NULL, g_ptr_array_index (self->jobs, 0));
  if (n > 1) {
    g_autofree char *text = g_strdup_printf (ngettext ("and %u more", "and %u more", n - 1), n - 1);

    gtk_menu_button_set_label (self->more, text);
    for (guint i = 0; i < n; i++)
      gtk_box_append (self->all, line_new (g_ptr_array_index (self->jobs, i)));
  }
}

static void
finished_cb (TessJobStrip *self, GParamSpec *pspec, TessJob *job)
{
  g_signal_handlers_disconnect_by_data (job, self);
  g_ptr_array_remove (self->jobs, job);
  rebuild (self);
}

static gboolean
show_cb (gpointer data)
{
  TessJobStrip *self = data;

  self->show_timer = 0;
  gtk_revealer_set_reveal_child (self->revealer, self->jobs->len > 0);
  return G_SOURCE_REMOVE;
}

void
tess_job_strip_add (TessJobStrip *self, TessJob *job)
{
  g_return_if_fail (TESS_IS_JOB_STRIP (self) && TESS_IS_JOB (job));
  if (tess_job_is_finished (job) || g_ptr_array_find (self->jobs, job, NULL))
    return;
  g_ptr_array_add (self->jobs, g_object_ref (job));
  g_signal_connect_object (job, "notify::finished", G_CALLBACK (finished_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (job, "notify::fraction", G_CALLBACK (update_bar_cb), self, G_CONNECT_SWAPPED);
  rebuild (self);
  if (!self->show_timer && !gtk_revealer_get_reveal_child (self->revealer))
    self->show_timer = g_timeout_add (SHOW_AFTER_MS, show_cb, self);
}

guint
tess_job_strip_n_jobs (TessJobStrip *self)
{
  g_return_val_if_fail (TESS_IS_JOB_STRIP (self), 0);
  return self->jobs->len;
}

static void
tess_job_strip_dispose (GObject *object)
{
  TessJobStrip *self = TESS_JOB_STRIP (object);

  g_clear_handle_id (&self->show_timer, g_source_remove);
  gtk_widget_dispose_template (GTK_WIDGET (self), TESS_TYPE_JOB_STRIP);
  G_OBJECT_CLASS (tess_job_strip_parent_class)->dispose (object);
}

static void
tess_job_strip_finalize (GObject *object)
{
  g_ptr_array_unref (TESS_JOB_STRIP (object)->jobs);
  G_OBJECT_CLASS (tess_job_strip_parent_class)->finalize (object);
}

static void
tess_job_strip_class_init (TessJobStripClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_job_strip_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_job_strip_finalize;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/job-strip.ui");
  gtk_widget_class_bind_template_child (widget_class, TessJobStrip, revealer);
  gtk_widget_class_bind_template_child (widget_class, TessJobStrip, first);
  gtk_widget_class_bind_template_child (widget_class, TessJobStrip, all);
  gtk_widget_class_bind_template_child (widget_class, TessJobStrip, more);
  gtk_widget_class_bind_template_child (widget_class, TessJobStrip, bar);
}

static void
tess_job_strip_init (TessJobStrip *self)
{
  self->jobs = g_ptr_array_new_with_free_func (g_object_unref);
  gtk_widget_init_template (GTK_WIDGET (self));
}
