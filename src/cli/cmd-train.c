#include "tess-cli.h"

int
tess_cmd_train (TessCli *cli, int argc, char **argv)
{
  return 1;
}
