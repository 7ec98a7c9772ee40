#include "tess-cli.h"

int
tess_cmd_plan (TessCli *cli, int argc, char **argv)
{
  return 1;
}
