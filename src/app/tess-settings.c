#include "tess-settings.h"

#define SCHEMA "org.tessera.Tessera"

struct _TessSettings {
  GObject parent_instance;

  char *style, *last_model, *hands;
  int window_width, window_height;
  gboolean window_maximized, show_sidebar, show_inspector, neurological, swap_window_drag;
  GSettings *store; /* NULL when the schema is not there */
};

enum {
  PROP_0,
  PROP_STYLE,
  PROP_WINDOW_WIDTH,
  PROP_WINDOW_HEIGHT,
  PROP_WINDOW_MAXIMIZED,
  PROP_SHOW_SIDEBAR,
  PROP_SHOW_INSPECTOR,
  PROP_LAST_MODEL,
  PROP_NEUROLOGICAL,
  PROP_HANDS,
  PROP_SWAP_WINDOW_DRAG,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (TessSettings, tess_settings, G_TYPE_OBJECT)

static void
tess_settings_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TessSettings *self = TESS_SETTINGS (object);

  switch (id) {
  case PROP_STYLE:
    g_value_set_string (value, self->style);
    break;
  case PROP_WINDOW_WIDTH:
    g_value_set_int (value, self->window_width);
    break;
  case PROP_WINDOW_HEIGHT:
    g_value_set_int (value, self->window_height);
    break;
  case PROP_WINDOW_MAXIMIZED:
    g_value_set_boolean (value, self->window_maximized);
    break;
  case PROP_SHOW_SIDEBAR:
    g_value_set_boolean (value, self->show_sidebar);
    break;
  case PROP_SHOW_INSPECTOR:
    g_value_set_boolean (value, self->show_inspector);
    break;
  case PROP_LAST_MODEL:
    g_value_set_string (value, self->last_model);
    break;
  case PROP_NEUROLOGICAL:
    g_value_set_boolean (value, self->neurological);
    break;
  case PROP_HANDS:
    g_value_set_string (value, self->hands);
    break;
  case PROP_SWAP_WINDOW_DRAG:
    g_value_set_boolean (value, self->swap_window_drag);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

/* The new string may be the old one: g_object_set () does not copy what it is given. */
static void
take_string (char **place, const GValue *value)
{
  g_autofree char *old = *place;

  *place = g_value_dup_string (value);
}

static void
tess_settings_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TessSettings *self = TESS_SETTINGS (object);

  switch (id) {
  case PROP_STYLE:
    take_string (&self->style, value);
    break;
  case PROP_WINDOW_WIDTH:
    self->window_width = g_value_get_int (value);
    break;
  case PROP_WINDOW_HEIGHT:
    self->window_height = g_value_get_int (value);
    break;
  case PROP_WINDOW_MAXIMIZED:
    self->window_maximized = g_value_get_boolean (value);
    break;
  case PROP_SHOW_SIDEBAR:
    self->show_sidebar = g_value_get_boolean (value);
    break;
  case PROP_SHOW_INSPECTOR:
    self->show_inspector = g_value_get_boolean (value);
    break;
  case PROP_LAST_MODEL:
    take_string (&self->last_model, value);
    break;
  case PROP_NEUROLOGICAL:
    self->neurological = g_value_get_boolean (value);
    break;
  case PROP_HANDS:
    take_string (&self->hands, value);
    break;
  case PROP_SWAP_WINDOW_DRAG:
    self->swap_window_drag = g_value_get_boolean (value);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

/* Every property is a key of the schema under the same name. A key that an older installed schema lacks, or has with
 * another type, stays in memory. */
static void
bind_store (TessSettings *self)
{
  GSettingsSchemaSource *source = g_settings_schema_source_get_default ();
  g_autoptr (GSettingsSchema) schema = source ? g_settings_schema_source_lookup (source, SCHEMA, TRUE) : NULL;

  if (!schema)
    return;
  self->store = g_settings_new_full (schema, NULL, NULL);
  for (guint i = 1; i < N_PROPS; i++) {
    const char *name = properties[i]->name;
    g_autoptr (GSettingsSchemaKey) key =
        g_settings_schema_has_key (schema, name) ? g_settings_schema_get_key (schema, name) : NULL;
    const char *type = properties[i]->value_type == G_TYPE_STRING    ? "s"
                       : properties[i]->value_type == G_TYPE_BOOLEAN ? "b"
                                                                     : "i";

    if (key && g_variant_type_equal (g_settings_schema_key_get_value_type (key), G_VARIANT_TYPE (type)))
      g_settings_bind (self->store, name, self, name, G_SETTINGS_BIND_DEFAULT);
  }
}

static void
tess_settings_constructed (GObject *object)
{
  G_OBJECT_CLASS (tess_settings_parent_class)->constructed (object);
  bind_store (TESS_SETTINGS (object));
}

static void
tess_settings_finalize (GObject *object)
{
  TessSettings *self = TESS_SETTINGS (object);

  g_clear_object (&self->store);
  g_free (self->style);
  g_free (self->last_model);
  g_free (self->hands);
  G_OBJECT_CLASS (tess_settings_parent_class)->finalize (object);
}

static void
tess_settings_class_init (TessSettingsClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | G_PARAM_CONSTRUCT;

  object_class->get_property = tess_settings_get_property;
  object_class->set_property = tess_settings_set_property;
  object_class->constructed = tess_settings_constructed;
  object_class->finalize = tess_settings_finalize;

  properties[PROP_STYLE] = g_param_spec_string ("style", NULL, NULL, "dark", flags);
  properties[PROP_WINDOW_WIDTH] = g_param_spec_int ("window-width", NULL, NULL, 360, 16384, 1280, flags);
  properties[PROP_WINDOW_HEIGHT] = g_param_spec_int ("window-height", NULL, NULL, 300, 16384, 800, flags);
  properties[PROP_WINDOW_MAXIMIZED] = g_param_spec_boolean ("window-maximized", NULL, NULL, FALSE, flags);
  properties[PROP_SHOW_SIDEBAR] = g_param_spec_boolean ("show-sidebar", NULL, NULL, TRUE, flags);
  properties[PROP_SHOW_INSPECTOR] = g_param_spec_boolean ("show-inspector", NULL, NULL, TRUE, flags);
  properties[PROP_LAST_MODEL] = g_param_spec_string ("last-model", NULL, NULL, "", flags);
  properties[PROP_NEUROLOGICAL] = g_param_spec_boolean ("neurological", NULL, NULL, FALSE, flags);
  properties[PROP_HANDS] = g_param_spec_string ("hands", NULL, NULL, "radiology", flags);
  properties[PROP_SWAP_WINDOW_DRAG] = g_param_spec_boolean ("swap-window-drag", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
tess_settings_init (TessSettings *self)
{
}

TessSettings *
tess_settings_get (void)
{
  static TessSettings *settings;

  if (!settings)
    settings = g_object_new (TESS_TYPE_SETTINGS, NULL);
  return settings;
}

gboolean
tess_settings_get_neurological (TessSettings *self)
{
  g_return_val_if_fail (TESS_IS_SETTINGS (self), FALSE);
  return self->neurological;
}

TessHands
tess_settings_get_hands (TessSettings *self)
{
  g_return_val_if_fail (TESS_IS_SETTINGS (self), TESS_HANDS_RADIOLOGY);
  return tess_hands_from_name (self->hands);
}

const char *
tess_settings_get_last_model (TessSettings *self)
{
  g_return_val_if_fail (TESS_IS_SETTINGS (self), NULL);
  return self->last_model && *self->last_model ? self->last_model : NULL;
}

void
tess_settings_set_last_model (TessSettings *self, const char *path)
{
  g_return_if_fail (TESS_IS_SETTINGS (self));
  g_object_set (self, "last-model", path ? path : "", NULL);
}

gboolean
tess_settings_is_kept (TessSettings *self)
{
  g_return_val_if_fail (TESS_IS_SETTINGS (self), FALSE);
  return self->store != NULL;
}
