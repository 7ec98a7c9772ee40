#pragma once

/* Geometries of a corpus of small files, and what has to come back from such a file. Plain double arithmetic, without
 * the program's own. */

#include "tess-json.h"

#define CORPUS_N_TILTS 6
#define CORPUS_TILTED CORPUS_N_TILTS /* oblique, the third axis bent towards the others */
#define CORPUS_N (CORPUS_N_TILTS * 48)
#define CORPUS_N_PLANTED 4

typedef struct {
  guint number, tilt; /* 0 straight, 1 oblique, 2 sheared, 3 a tie at 45 degrees, 4 just below it, 5 just above */
  double direction[3][3], spacing[3], origin[3]; /* direction[k]: of index axis k, length 1, RAS; mm */
} CorpusGeometry;

extern const gint64 corpus_dim[3];
extern const gint64 corpus_planted[CORPUS_N_PLANTED][3];

CorpusGeometry corpus_geometry (guint number);
gboolean corpus_is_left_handed (const CorpusGeometry *g);
void corpus_world (const CorpusGeometry *g, const double index[3], double world[3]);
/* Numbers of a grid of dim voxels, x fastest: -1, and 101, 102... at the planted places that lie in it. */
double *corpus_values (const gint64 dim[3]);
/* The letters nibabel gives to a geometry, its third axis turned round if flip; a tie has two: "RAS/ALS". */
char *corpus_letters (JsonObject *reference, const CorpusGeometry *g, gboolean flip);

/* Opens the file: every planted number stands once in it, at its world position as `g` has it; all others are -1.
 * letters: one of those nibabel gives; NULL: not compared. `what` names the case. */
void corpus_check (const char *path, const CorpusGeometry *g, const gint64 dim[3], const char *letters,
                   const char *what);
