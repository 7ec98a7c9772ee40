#include "tess-cli.h"

int
tess_cmd_predict (TessCli *cli, int argc, char **argv)
{
  return 1;
}
