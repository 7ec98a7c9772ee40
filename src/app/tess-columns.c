#include "tess-columns.h"

#define NARROWEST 560 /* pixels of a column beside another */
#define WIDEST 760
#define GAP 24

struct _TessColumns {
  GtkLayoutManager parent_instance;
};

G_DEFINE_FINAL_TYPE (TessColumns, tess_columns, GTK_TYPE_LAYOUT_MANAGER)

static GtkWidget *
next_shown (GtkWidget *child)
{
  while (child && !gtk_widget_should_layout (child))
    child = gtk_widget_get_next_sibling (child);
  return child;
}

static GtkWidget *
first (GtkWidget *widget)
{
  return next_shown (gtk_widget_get_first_child (widget));
}

static GtkWidget *
after (GtkWidget *child)
{
  return next_shown (gtk_widget_get_next_sibling (child));
}

/* Of one column, when the widget is so wide; how many stand side by side: all, or one. */
static int
column_width (GtkWidget *widget, int width, int *n_columns)
{
  int n = 0, narrowest = NARROWEST;

  for (GtkWidget *child = first (widget); child; child = after (child)) {
    int least = 0;

    gtk_widget_measure (child, GTK_ORIENTATION_HORIZONTAL, -1, &least, NULL, NULL, NULL);
    narrowest = MAX (narrowest, least);
    n++;
  }
  *n_columns = n > 1 && width >= n * narrowest + (n - 1) * GAP ? n : 1;
  return MIN ((width - (*n_columns - 1) * GAP) / *n_columns, MAX (narrowest, WIDEST));
}

static GtkSizeRequestMode
tess_columns_get_request_mode (GtkLayoutManager *manager, GtkWidget *widget)
{
  return GTK_SIZE_REQUEST_HEIGHT_FOR_WIDTH;
}

static void
measure_width (GtkWidget *widget, int *minimum, int *natural)
{
  for (GtkWidget *child = first (widget); child; child = after (child)) {
    int least = 0, wanted = 0;

    gtk_widget_measure (child, GTK_ORIENTATION_HORIZONTAL, -1, &least, &wanted, NULL, NULL);
    *minimum = MAX (*minimum, least);
    *natural += MIN (MAX (wanted, least), WIDEST) + (*natural > 0 ? GAP : 0);
  }
  *natural = MAX (*natural, *minimum);
}

/* Children get what they want: the widget is there to be scrolled. */
static int
measure_height (GtkWidget *widget, int width)
{
  int n_columns = 1, each = width < 0 ? -1 : column_width (widget, width, &n_columns), height = 0;

  for (GtkWidget *child = first (widget); child; child = after (child)) {
    int wanted = 0;

    gtk_widget_measure (child, GTK_ORIENTATION_VERTICAL, each, NULL, &wanted, NULL, NULL);
    height = n_columns == 1 ? height + (height > 0 ? GAP : 0) + wanted : MAX (height, wanted);
  }
  return height;
}

static void
tess_columns_measure (GtkLayoutManager *manager, GtkWidget *widget, GtkOrientation orientation, int for_size,
                      int *minimum, int *natural, int *minimum_baseline, int *natural_baseline)
{
  *minimum = *natural = 0;
  if (orientation == GTK_ORIENTATION_HORIZONTAL)
    measure_width (widget, minimum, natural);
  else
    *minimum = *natural = measure_height (widget, for_size);
}

static void
tess_columns_allocate (GtkLayoutManager *manager, GtkWidget *widget, int width, int height, int baseline)
{
  int n_columns, each = column_width (widget, width, &n_columns);
  GtkAllocation at = {(width - n_columns * each - (n_columns - 1) * GAP) / 2, 0, each, 0};

  for (GtkWidget *child = first (widget); child; child = after (child)) {
    int wanted = 0;

    gtk_widget_measure (child, GTK_ORIENTATION_VERTICAL, each, NULL, &wanted, NULL, NULL);
    at.height = n_columns == 1 ? wanted : height;
    gtk_widget_size_allocate (child, &at, -1);
    if (n_columns == 1)
      at.y += at.height + GAP;
    else
      at.x += each + GAP;
  }
}

static void
tess_columns_class_init (TessColumnsClass *klass)
{
  GtkLayoutManagerClass *layout_class = GTK_LAYOUT_MANAGER_CLASS (klass);

  layout_class->get_request_mode = tess_columns_get_request_mode;
  layout_class->measure = tess_columns_measure;
  layout_class->allocate = tess_columns_allocate;
}

static void
tess_columns_init (TessColumns *self)
{
}
