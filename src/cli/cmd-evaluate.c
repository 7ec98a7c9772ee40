#include "tess-cli.h"

int
tess_cmd_evaluate (TessCli *cli, int argc, char **argv)
{
  return 1;
}
