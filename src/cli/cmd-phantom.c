#include "tess-cli.h"

int
tess_cmd_phantom (TessCli *cli, int argc, char **argv)
{
  return 1;
}
