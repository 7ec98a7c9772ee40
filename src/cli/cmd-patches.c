#include "tess-cli.h"

int
tess_cmd_patches (TessCli *cli, int argc, char **argv)
{
  return 1;
}
