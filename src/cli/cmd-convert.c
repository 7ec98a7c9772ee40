#include "tess-cli.h"

int
tess_cmd_convert (TessCli *cli, int argc, char **argv)
{
  return 1;
}
