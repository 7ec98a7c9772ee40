#include "tess-case-list.h"

#include "tess-format.h"

#define MAX_WHOLE 10u  /* cases that are all seen; of more the list scrolls by itself, */
#define MAX_HEIGHT 340 /* so many pixels high */

/* One line of the list. */
#define TESS_TYPE_CASE_ITEM (tess_case_item_get_type ())
G_DECLARE_FINAL_TYPE (TessCaseItem, tess_case_item, TESS, CASE_ITEM, GObject)

struct _TessCaseItem {
  GObject parent_instance;
  char *id, *voxels, *spacing;
  gboolean checked, failed;
};

enum { PROP_0, PROP_CHECKED, N_PROPS };

static GParamSpec *properties[N_PROPS];

G_DEFINE_FINAL_TYPE (TessCaseItem, tess_case_item, G_TYPE_OBJECT)

struct _TessCaseList {
  GtkWidget parent_instance;
  GtkWidget *scroll;
  GListStore *store;
  guint checked, failed; /* failed: one past it, 0 none */
};

G_DEFINE_FINAL_TYPE (TessCaseList, tess_case_list, GTK_TYPE_WIDGET)

static void
tess_case_item_finalize (GObject *object)
{
  TessCaseItem *self = TESS_CASE_ITEM (object);

  g_free (self->id);
  g_free (self->voxels);
  g_free (self->spacing);
  G_OBJECT_CLASS (tess_case_item_parent_class)->finalize (object);
}

static void
tess_case_item_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_CHECKED)
    g_value_set_boolean (value, TESS_CASE_ITEM (object)->checked);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
tess_case_item_class_init (TessCaseItemClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = tess_case_item_finalize;
  object_class->get_property = tess_case_item_get_property;
  properties[PROP_CHECKED] =
      g_param_spec_boolean ("checked", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
tess_case_item_init (TessCaseItem *self)
{
}

static TessCaseItem *
item_new (const TessCaseLook *look)
{
  TessCaseItem *item = g_object_new (TESS_TYPE_CASE_ITEM, NULL);

  item->id = g_strdup (look->id);
  item->voxels = look->dim[0] > 0 ? tess_format_dims (look->dim, 3) : g_strdup ("");
  item->spacing = look->spacing[0] > 0.0 ? g_strdup_printf ("%#.3g x %#.3g x %#.3g mm", look->spacing[0],
                                                            look->spacing[1], look->spacing[2])
                                         : g_strdup ("");
  return item;
}

/* ---- columns ---- */

typedef enum { COLUMN_ID, COLUMN_VOXELS, COLUMN_SPACING, COLUMN_STATE } Column;

static void
setup_cb (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer data)
{
  GtkWidget *label = gtk_label_new (NULL);

  gtk_label_set_xalign (GTK_LABEL (label), 0.0f);
  if (GPOINTER_TO_INT (data) == COLUMN_ID)
    gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_MIDDLE);
  if (GPOINTER_TO_INT (data) != COLUMN_ID)
    gtk_widget_add_css_class (label, "dim-label");
  gtk_widget_add_css_class (label, "numeric");
  gtk_list_item_set_child (item, label);
}

static void
show_state (TessCaseItem *case_item, GParamSpec *pspec, GtkLabel *label)
{
  gtk_label_set_text (label, case_item->failed ? _ ("not usable") : case_item->checked ? _ ("in order") : "");
}

static void
bind_cb (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer data)
{
  TessCaseItem *case_item = gtk_list_item_get_item (item);
  GtkLabel *label = GTK_LABEL (gtk_list_item_get_child (item));

  switch ((Column)GPOINTER_TO_INT (data)) {
  case COLUMN_ID:
    gtk_label_set_text (label, case_item->id);
    break;
  case COLUMN_VOXELS:
    gtk_label_set_text (label, case_item->voxels);
    break;
  case COLUMN_SPACING:
    gtk_label_set_text (label, case_item->spacing);
    break;
  case COLUMN_STATE:
    show_state (case_item, NULL, label);
    g_signal_connect (case_item, "notify::checked", G_CALLBACK (show_state), label);
    break;
  }
}

static void
unbind_cb (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer data)
{
  g_signal_handlers_disconnect_by_func (gtk_list_item_get_item (item), show_state, gtk_list_item_get_child (item));
}

static void
add_column (GtkColumnView *view, Column kind, const char *title)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();
  g_autoptr (GtkColumnViewColumn) column = NULL;

  g_signal_connect (factory, "setup", G_CALLBACK (setup_cb), GINT_TO_POINTER (kind));
  g_signal_connect (factory, "bind", G_CALLBACK (bind_cb), GINT_TO_POINTER (kind));
  g_signal_connect (factory, "unbind", G_CALLBACK (unbind_cb), GINT_TO_POINTER (kind));
  column = gtk_column_view_column_new (title, factory);
  gtk_column_view_column_set_expand (column, kind == COLUMN_ID);
  gtk_column_view_append_column (view, column);
}

/* ---- the list ---- */

static void
tess_case_list_dispose (GObject *object)
{
  TessCaseList *self = TESS_CASE_LIST (object);

  g_clear_pointer (&self->scroll, gtk_widget_unparent);
  g_clear_object (&self->store);
  G_OBJECT_CLASS (tess_case_list_parent_class)->dispose (object);
}

static void
tess_case_list_class_init (TessCaseListClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = tess_case_list_dispose;
  gtk_widget_class_set_layout_manager_type (GTK_WIDGET_CLASS (klass), GTK_TYPE_BIN_LAYOUT);
}

static void
tess_case_list_init (TessCaseList *self)
{
  GtkSelectionModel *model;
  GtkWidget *view;

  self->store = g_list_store_new (TESS_TYPE_CASE_ITEM);
  model = GTK_SELECTION_MODEL (gtk_no_selection_new (G_LIST_MODEL (g_object_ref (self->store))));
  view = gtk_column_view_new (model);
  gtk_accessible_update_property (GTK_ACCESSIBLE (view), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Cases"), -1);
  add_column (GTK_COLUMN_VIEW (view), COLUMN_ID, _ ("Case"));
  add_column (GTK_COLUMN_VIEW (view), COLUMN_VOXELS, _ ("Voxels"));
  add_column (GTK_COLUMN_VIEW (view), COLUMN_SPACING, _ ("Spacing"));
  add_column (GTK_COLUMN_VIEW (view), COLUMN_STATE, _ ("Checked"));
  self->scroll = gtk_scrolled_window_new ();
  gtk_scrolled_window_set_child (GTK_SCROLLED_WINDOW (self->scroll), view);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (self->scroll), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
  gtk_widget_set_overflow (self->scroll, GTK_OVERFLOW_HIDDEN);
  gtk_widget_add_css_class (self->scroll, "card");
  gtk_widget_set_parent (self->scroll, GTK_WIDGET (self));
}

GtkWidget *
tess_case_list_new (void)
{
  return g_object_new (TESS_TYPE_CASE_LIST, NULL);
}

void
tess_case_list_set_cases (TessCaseList *self, const GArray *cases)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < cases->len; i++)
    g_ptr_array_add (items, item_new (&g_array_index (cases, TessCaseLook, i)));
  self->checked = self->failed = 0;
  /* A list that need not scroll must not keep the wheel from the page: even without a bar GTK 4.8 takes it. */
  gtk_widget_set_can_target (self->scroll, cases->len > MAX_WHOLE);
  gtk_scrolled_window_set_policy (GTK_SCROLLED_WINDOW (self->scroll), GTK_POLICY_NEVER,
                                  cases->len > MAX_WHOLE ? GTK_POLICY_AUTOMATIC : GTK_POLICY_NEVER);
  gtk_scrolled_window_set_min_content_height (GTK_SCROLLED_WINDOW (self->scroll),
                                              cases->len > MAX_WHOLE ? MAX_HEIGHT : -1);
  g_list_store_splice (self->store, 0, g_list_model_get_n_items (G_LIST_MODEL (self->store)), items->pdata, items->len);
}

void
tess_case_list_set_failed (TessCaseList *self, guint index)
{
  g_autoptr (TessCaseItem) item = g_list_model_get_item (G_LIST_MODEL (self->store), index);

  if (!item)
    return;
  item->failed = TRUE;
  self->failed = index + 1;
  g_object_notify_by_pspec (G_OBJECT (item), properties[PROP_CHECKED]);
}

void
tess_case_list_set_checked (TessCaseList *self, guint n)
{
  guint all = g_list_model_get_n_items (G_LIST_MODEL (self->store)), end = MAX (MAX (n, self->checked), self->failed);

  for (guint i = MIN (n, self->checked); i < end && i < all; i++) {
    g_autoptr (TessCaseItem) item = g_list_model_get_item (G_LIST_MODEL (self->store), i);

    item->checked = i < n;
    item->failed = FALSE;
    g_object_notify_by_pspec (G_OBJECT (item), properties[PROP_CHECKED]);
  }
  self->checked = n;
  self->failed = 0;
}
