#include "tess-cli.h"

int
tess_cmd_info (TessCli *cli, int argc, char **argv)
{
  return 1;
}
