#include "tess-cli.h"

int
tess_cmd_devices (TessCli *cli, int argc, char **argv)
{
  return 1;
}
