/* What test-library.c opens at run time. */

__attribute__ ((visibility ("default"))) int library_version (void);
__attribute__ ((visibility ("default"))) double library_half (double value);

int
library_version (void)
{
  return 7;
}

double
library_half (double value)
{
  return value / 2;
}
