#include "tess-preferences.h"

#include "tess-settings.h"

#include <glib/gi18n-lib.h>

struct _TessPreferences {
  AdwPreferencesWindow parent_instance;

  AdwComboRow *style, *hands;
  GtkWidget *neurological, *swap;
  GtkWidget *not_kept;
};

G_DEFINE_FINAL_TYPE (TessPreferences, tess_preferences, ADW_TYPE_PREFERENCES_WINDOW)

/* In the order of the list in preferences.ui. */
static const char *const styles[] = {"dark", "light", "system"};

static gboolean
style_to_row (GBinding *binding, const GValue *from, GValue *to, gpointer data)
{
  const char *style = g_value_get_string (from);

  for (guint i = 0; i < G_N_ELEMENTS (styles); i++)
    if (g_strcmp0 (style, styles[i]) == 0) {
      g_value_set_uint (to, i);
      return TRUE;
    }
  return FALSE;
}

static gboolean
row_to_style (GBinding *binding, const GValue *from, GValue *to, gpointer data)
{
  guint i = g_value_get_uint (from);

  if (i >= G_N_ELEMENTS (styles))
    return FALSE;
  g_value_set_string (to, styles[i]);
  return TRUE;
}

static gboolean
hands_to_row (GBinding *binding, const GValue *from, GValue *to, gpointer data)
{
  g_value_set_uint (to, tess_hands_from_name (g_value_get_string (from)));
  return TRUE;
}

static gboolean
row_to_hands (GBinding *binding, const GValue *from, GValue *to, gpointer data)
{
  guint i = g_value_get_uint (from);

  if (i >= TESS_N_HANDS)
    return FALSE;
  g_value_set_string (to, tess_hands_name ((TessHands)i));
  return TRUE;
}

/* What the chosen profile does with the left button, in the row's words. */
static void
describe_hands_cb (TessPreferences *self)
{
  static const char *const words[TESS_N_HANDS] = {
      [TESS_HANDS_RADIOLOGY] = N_ ("Drag: window and level. Shift + drag: crosshair"),
      [TESS_HANDS_RESEARCH] = N_ ("Drag: crosshair. Shift + drag: window and level"),
      [TESS_HANDS_SLICER] = N_ ("Drag: window and level. Shift + drag: pan"),
  };
  guint i = adw_combo_row_get_selected (self->hands);

  if (i < TESS_N_HANDS)
    adw_action_row_set_subtitle (ADW_ACTION_ROW (self->hands), _ (words[i]));
}

static void
tess_preferences_dispose (GObject *object)
{
  gtk_widget_dispose_template (GTK_WIDGET (object), TESS_TYPE_PREFERENCES);
  G_OBJECT_CLASS (tess_preferences_parent_class)->dispose (object);
}

static void
tess_preferences_class_init (TessPreferencesClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_preferences_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, "/org/tessera/Tessera/ui/preferences.ui");
  gtk_widget_class_bind_template_child (widget_class, TessPreferences, style);
  gtk_widget_class_bind_template_child (widget_class, TessPreferences, neurological);
  gtk_widget_class_bind_template_child (widget_class, TessPreferences, hands);
  gtk_widget_class_bind_template_child (widget_class, TessPreferences, swap);
  gtk_widget_class_bind_template_callback (widget_class, describe_hands_cb);
  gtk_widget_class_bind_template_child (widget_class, TessPreferences, not_kept);
}

static void
tess_preferences_init (TessPreferences *self)
{
  TessSettings *settings = tess_settings_get ();
  GBindingFlags flags = G_BINDING_SYNC_CREATE | G_BINDING_BIDIRECTIONAL;

  gtk_widget_init_template (GTK_WIDGET (self));
  g_object_bind_property_full (settings, "style", self->style, "selected", flags, style_to_row, row_to_style, NULL,
                               NULL);
  g_object_bind_property_full (settings, "hands", self->hands, "selected", flags, hands_to_row, row_to_hands, NULL,
                               NULL);
  describe_hands_cb (self);
  g_object_bind_property (settings, "neurological", self->neurological, "active", flags);
  g_object_bind_property (settings, "swap-window-drag", self->swap, "active", flags);
  gtk_widget_set_visible (self->not_kept, !tess_settings_is_kept (settings));
}

GtkWidget *
tess_preferences_new (void)
{
  return g_object_new (TESS_TYPE_PREFERENCES, NULL);
}
